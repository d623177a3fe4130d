package identity

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/glob"
	"mailhatch/mime"
	"mailhatch/mime/hostname"
)

// Aliases reports to whom mail for local names goes. Make it with NewAliases; once it is filled it may
// be used from many goroutines at once.
type Aliases struct {
	entries map[string]alias // by name or address in lower case
}

// OpenList opens the file of an :include: target.
type OpenList func(path string) (io.ReadCloser, error)

// alias is what mail for a name becomes.
type alias struct {
	targets []string // names and addresses
	ending  Ending   // where there are none
}

// Ending is a recipient whose alias leads to no address.
type Ending struct {
	Recipient envelope.Recipient
	State     envelope.State // Discarded: /dev/null; Failed: what mailhatch does not do; Held: a list that cannot be read now
	Why       string         // for the sender, who need not know what the alias says
	Enhanced  [3]int         // Failed: RFC 3463
}

// Reply is the refusal of a recipient whose State is Failed.
func (e *Ending) Reply() *envelope.Reply {
	return &envelope.Reply{Code: 550, Enhanced: e.Enhanced, Text: e.Recipient.Address + ": " + e.Why}
}

// catchAll is the name of the alias for local names that have none of their own. Other programs call it default.
const catchAll = "*"

// devNull is a target that discards mail.
const devNull = "/dev/null"

// NewAliases takes the table [aliases]; open reads the lists that it includes. Entries that cannot be used are
// returned as *KeyError and left out.
func NewAliases(table map[string][]string, open OpenList) (*Aliases, []error) {
	a := &Aliases{entries: map[string]alias{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(table)) {
		item := 0
		fail := func(mild bool, problem, hint string) {
			errs = append(errs, &KeyError{Key: name, Item: item, Problem: problem, Hint: hint, Mild: mild})
		}
		if problem, hint := badName(name); problem != "" {
			fail(false, problem, hint)
			continue
		}
		if len(table[name]) == 0 {
			fail(false, "has no address", "")
		}
		e := resolve(table[name], open, func(target, problem string) {
			item = 1 + slices.Index(table[name], target)
			hint := "write an address or the name of another alias"
			if items := glob.List(target); len(items) > 1 && strings.Contains(target, ",") {
				hint = glob.WriteList(items)
			}
			fail(false, fmt.Sprintf("%q %s", target, problem), hint)
		}, func(odd string) { fail(true, odd, "") })
		item = 0
		if !a.add(name, e) {
			fail(false, "is defined twice, in upper and lower case or as * and default", "")
		}
	}
	return a, errs
}

// add reports whether the name was new.
func (a *Aliases) add(name string, e alias) bool {
	key := aliasKey(name)
	if _, dup := a.entries[key]; dup {
		return false
	}
	a.entries[key] = e
	return true
}

// aliasKey is the form in which names of aliases are compared.
func aliasKey(name string) string {
	if key := mime.AddressKey(name); key != "default" {
		return key
	}
	return catchAll
}

// badName returns why something cannot be the name of an alias, and what to write instead; "" when it can.
func badName(name string) (problem, hint string) {
	local, domain, qualified := mime.SplitAddress(name)
	switch problem := badTarget(name); {
	case problem != "":
		return "is not a name or address: it " + problem, ""
	case qualified && strings.Contains(local, catchAll):
		return "is a pattern, which only [[rewrite]] takes",
			fmt.Sprintf(`write [[rewrite]] with to = [%q] and redirect_to; "*" alone stands for local names without an alias`, local+"@"+domain)
	}
	return "", ""
}

// badTarget returns why mail cannot go to a target of an alias: mailhatch runs no commands and writes no files.
func badTarget(target string) string {
	switch {
	case target == "":
		return "is empty"
	case strings.HasPrefix(target, "|"):
		return "is a command, which mailhatch never runs"
	case strings.HasPrefix(target, "/"):
		return "is a file, which mailhatch never writes"
	case strings.HasPrefix(strings.ToLower(target), ":include:"):
		return "is a list in a file, which only an alias can name"
	case strings.HasPrefix(target, ":"):
		return "is a special target, which mailhatch does not know"
	case !validAddress(target):
		return "is neither an address nor a name"
	}
	return ""
}

// CheckAddress returns why mail cannot go to a name or address of the config; "" when it can.
func CheckAddress(s string) string { return badTarget(s) }

// validAddress takes local@domain or a local part alone; quoted local parts may hold spaces.
func validAddress(s string) bool {
	local, domain, qualified := mime.SplitAddress(s)
	if !qualified {
		_, err := mime.ParsePath(s, "localhost")
		return err == nil
	}
	return mime.IsLocalPart(local) && hostname.Check(domain) == nil
}

// resolve sorts the targets of an alias: it calls bad for those that cannot be used, and odd with what is
// wrong with lists in files.
func resolve(words []string, open OpenList, bad func(target, problem string), odd func(string)) alias {
	var e alias
	null, unread := false, false
	refused := "its alias names nobody"
	for _, target := range words {
		path, isList := includePath(target)
		switch {
		case target == devNull:
			null = true
			continue
		case isList:
			list, err := include(path, open, odd)
			if err != nil {
				unread = true
				odd(fmt.Sprintf("the list cannot be read: %v", err))
			}
			e.targets = append(e.targets, list...)
			continue
		}
		if problem := badTarget(strings.TrimPrefix(target, `\`)); problem != "" {
			bad(target, problem)
			refused = "its alias names " + strings.TrimPrefix(problem, "is ")
			continue
		}
		e.targets = append(e.targets, target)
	}
	switch {
	case unread: // when it can be read again, all get the mail
		e.targets, e.ending = nil, Ending{State: envelope.Held, Why: "the list of its alias cannot be read"}
	case len(e.targets) > 0:
	case null:
		e.ending = Ending{State: envelope.Discarded, Why: "its alias is /dev/null"}
	default:
		e.ending = Ending{State: envelope.Failed, Why: refused, Enhanced: [3]int{5, 7, 1}}
	}
	return e
}
