package identity

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Aliases reports to whom mail for local names goes. Make it with NewAliases; once it is filled it may
// be used from many goroutines at once.
type Aliases struct {
	entries map[string][]string // name or address in lower case to names and addresses
}

// NewAliases takes the table [aliases]. Entries that cannot be used are returned as *KeyError and left out.
func NewAliases(table map[string][]string) (*Aliases, []error) {
	a := &Aliases{entries: map[string][]string{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(table)) {
		fail := func(problem, hint string) {
			errs = append(errs, &KeyError{Key: name, Problem: problem, Hint: hint})
		}
		if problem := badTarget(name); problem != "" {
			fail("is not a name or address: it "+problem, "")
			continue
		}
		if len(table[name]) == 0 {
			fail("has no address", "")
		}
		for _, target := range table[name] {
			if problem := badTarget(target); problem != "" {
				fail(fmt.Sprintf("%q %s", target, problem), "write an address or the name of another alias")
			}
		}
		if !a.add(name, table[name]) {
			fail("is defined twice, in upper and lower case", "")
		}
	}
	return a, errs
}

// add reports whether the name was new.
func (a *Aliases) add(name string, targets []string) bool {
	key := mime.AddressKey(name)
	if _, dup := a.entries[key]; dup {
		return false
	}
	a.entries[key] = targets
	return true
}

// badTarget returns why mail cannot go to a target of an alias: mailhatch runs no commands and writes no files.
func badTarget(target string) string {
	lower := strings.ToLower(target)
	switch {
	case target == "":
		return "is empty"
	case strings.HasPrefix(target, "|"):
		return "is a command, which mailhatch never runs"
	case strings.HasPrefix(target, "/"):
		return "is a file, which mailhatch never writes"
	case strings.HasPrefix(lower, ":include:"):
		return "is a list in a file, which mailhatch does not read"
	case strings.HasPrefix(lower, ":"):
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
	return mime.IsLocalPart(local) && (!qualified || mime.CheckDomain(domain) == nil)
}

// Expand replaces recipients that have an alias by their targets, chains followed, bare names
// completed, each address once without regard to case. A name that leads back to itself stays: root =
// ["root", "ops@example.com"] keeps root. DSN parameters follow; Given remembers the first address.
// Recipients whose domain is not local are touched by aliases for their whole address only.
func (a *Aliases) Expand(id *Identity, to []envelope.Recipient) []envelope.Recipient {
	e := expansion{aliases: a, id: id, seen: map[string]bool{}}
	for _, r := range to {
		e.from, e.reached = r, false
		address := id.Qualify(r.Address)
		e.expand(address, map[string]progress{})
		if !e.reached {
			e.emit(address) // a loop without an exit: no mail is lost by it
		}
	}
	return e.out
}

// Resolve returns the addresses that mail for a name or address goes to.
func (a *Aliases) Resolve(id *Identity, name string) []string {
	var list []string
	for _, r := range a.Expand(id, []envelope.Recipient{{Address: name}}) {
		list = append(list, r.Address)
	}
	return list
}

// Loops returns the aliases that lead only back to themselves, in lower case and in order.
func (a *Aliases) Loops(id *Identity) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a.entries)) {
		e := expansion{aliases: a, id: id, seen: map[string]bool{}}
		if e.expand(id.Qualify(name), map[string]progress{}); !e.reached {
			list = append(list, name)
		}
	}
	return list
}

// progress reports how far an alias has been followed for one recipient.
type progress int

const (
	following progress = iota + 1 // we are within it: coming back is a loop
	followed
)

type expansion struct {
	aliases *Aliases
	id      *Identity
	from    envelope.Recipient // whose alias is being followed
	reached bool               // from leads to an address
	seen    map[string]bool    // addresses in out, in lower case
	out     []envelope.Recipient
}

func (e *expansion) expand(address string, done map[string]progress) {
	key, targets := e.aliases.lookup(e.id, address)
	if targets == nil {
		e.emit(address)
		return
	}
	done[key] = following
	for _, target := range targets {
		target, final := strings.CutPrefix(target, `\`)
		target = e.id.Qualify(target)
		next, _ := e.aliases.lookup(e.id, target)
		switch {
		case final || next == key:
			e.emit(target)
		case done[next] == 0:
			e.expand(target, done)
		}
	}
	done[key] = followed
}

func (e *expansion) emit(address string) {
	e.reached = true
	key := mime.AddressKey(address)
	if e.seen[key] {
		return
	}
	e.seen[key] = true
	r := e.from
	if r.Address != address {
		if r.Given == "" {
			r.Given = r.Address
		}
		r.Address = address
	}
	e.out = append(e.out, r)
}

// lookup finds the alias of an address: its own, that of its local part when the domain is local, and
// for postmaster (RFC 5321 4.5.1) and mailer-daemon that of root or postmaster.
func (a *Aliases) lookup(id *Identity, addr string) (key string, targets []string) {
	key = mime.AddressKey(addr)
	if t, ok := a.entries[key]; ok {
		return key, t
	}
	local, domain, _ := mime.SplitAddress(key)
	if !id.isLocal(domain) {
		return "", nil
	}
	names := []string{local}
	switch local {
	case "postmaster":
		names = append(names, "root")
	case "mailer-daemon":
		names = append(names, "postmaster", "root")
	}
	for _, name := range names {
		if t, ok := a.entries[name]; ok {
			return name, t
		}
	}
	return "", nil
}
