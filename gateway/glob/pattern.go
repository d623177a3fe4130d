package glob

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Mistake is a pattern of the config that could never match what it is meant for.
type Mistake struct {
	Problem string
	Hint    string // what to write
}

// Error returns the problem.
func (m *Mistake) Error() string { return m.Problem }

// Address returns the pattern that stands for a text of the config about mail addresses: "@example.com" is every
// address of the domain, as in Postfix's tables, ".example.com" every address of its subdomains; anything else is
// compared with the whole address. "" and "<>" are the null sender. It is in lower case.
func Address(text string) (string, *Mistake) {
	if text == "<>" || text == "" {
		return "", nil
	}
	local, domain, found := strings.Cut(text, "@")
	quoted := strings.Contains(text, `"`) // its local part may hold anything
	switch {
	case !quoted && (isExpression(text, true) || found && hasClass(domain)):
		return "", expression(text)
	case !quoted && strings.Contains(text, "|") && strings.Count(text, "@") > 1:
		return "", &Mistake{fmt.Sprintf("%q is one string, not a list", text), WriteList(strings.Split(text, "|"))}
	case !quoted && hasChoice(text):
		return "", &Mistake{fmt.Sprintf("%q can never match: braces do not list alternatives here", text), "write a pattern for each choice"}
	case !quoted && (isList(text) || strings.ContainsAny(text, ",;")):
		return "", several(text)
	case strings.HasPrefix(strings.ToLower(text), "mailto:"):
		return "", &Mistake{fmt.Sprintf("%q can never match: patterns are compared with the address alone", text), fmt.Sprintf("write %q", text[len("mailto:"):])}
	case !quoted && found && domain != "." && strings.HasSuffix(domain, "."):
		return "", &Mistake{fmt.Sprintf("%q can never match: addresses do not end with a dot", text), fmt.Sprintf("write %q", strings.TrimRight(text, "."))}
	case strings.ContainsAny(text, "<>"):
		inner := text[strings.LastIndexAny(text, "<")+1:]
		return "", &Mistake{fmt.Sprintf("%q can never match: patterns are compared with the address alone", text), fmt.Sprintf("write %q", strings.Trim(inner, "<> "))}
	case !quoted && strings.ContainsFunc(text, unicode.IsSpace):
		return "", &Mistake{fmt.Sprintf("%q can never match: it has a space", text), fmt.Sprintf("write %q", strings.TrimSpace(text))}
	case !quoted && found && strings.ContainsAny(domain, foreign):
		at := strings.IndexAny(domain, foreign)
		return "", &Mistake{fmt.Sprintf("%q can never match: no domain has a %q", text, domain[at:at+1]), "* matches any text and ? one character; everything else is literal"}
	case !found && strings.HasPrefix(text, ".") && strings.Trim(text, ".") != "":
		return "*@*" + strings.ToLower(text), nil
	case found && local == "" && strings.Trim(domain, ".") != "" && domain[0] != '.':
		return "*@" + strings.ToLower(domain), nil
	case found && strings.HasPrefix(domain, "."), !found && !strings.Contains(text, "*"), found && domain == "":
		return "", &Mistake{fmt.Sprintf("%q can never match: patterns are compared with the whole address", text), forDomain(text)}
	}
	return strings.ToLower(text), nil
}

// forDomain says how a domain is written, that of the text where it has one.
func forDomain(text string) string {
	domain := strings.Trim(text[strings.LastIndex(text, "@")+1:], ".?")
	if domain == "" {
		return `for every address of a domain write "@example.com", for those of its subdomains ".example.com"`
	}
	hint := fmt.Sprintf(`for every address of a domain write %q (which is "*@%s"), for those of its subdomains %q`, "@"+domain, domain, "."+domain)
	if !strings.Contains(domain, ".") {
		hint = fmt.Sprintf(`for a local part at any domain write %q, for every address of a domain "@%s"`, domain+"@*", domain)
	}
	return hint
}

// Domain returns the domain that stands for a text of the config about domains, in lower case: "@example.com" is
// "example.com", ".example.com" is "*.example.com", its subdomains. Whether it is a domain is not looked at.
func Domain(text string) (string, *Mistake) {
	local, domain, found := strings.Cut(text, "@")
	switch {
	case isExpression(text, true):
		return "", &Mistake{fmt.Sprintf("%q is a regular expression, but domains must be written out", text), `write "example.com", or ".example.com" for its subdomains`}
	case isList(text):
		return "", several(text)
	case found && domain != "" && (local == "" || local == "*"):
		return strings.ToLower(domain), nil
	case found && domain != "":
		return "", &Mistake{fmt.Sprintf("%q is an address, but domains are needed", text), fmt.Sprintf("write %q", domain)}
	case strings.HasPrefix(text, "."):
		return "*" + strings.ToLower(text), nil
	}
	return strings.ToLower(text), nil
}

// Text returns the pattern that stands for a text of the config, in lower case.
func Text(text string) (string, *Mistake) {
	if isExpression(text, false) {
		return "", expression(text)
	}
	return strings.ToLower(text), nil
}

// Word returns the pattern that stands for a text of the config about names that hold no commas, in lower case.
func Word(text string) (string, *Mistake) {
	if strings.Contains(text, ",") && isList(text) {
		return "", several(text)
	}
	return Text(text)
}

var (
	enclosed = regexp.MustCompile(`^/.+/[a-z]*$|^\^.*\$$|^\^.*\.[*+]|^\.[*+].|^\(\?[a-z]*[:)]|^(?i:regexp?|pcre):.`)
	within   = regexp.MustCompile(`^\^|\$$|\\|^[^@]*[\[(]|\.\+@|@\.[*+]|[*+]\?|\(.*\|.*\)`)
)

// foreign are characters that no domain has, nor an address in brackets.
const foreign = "$|/(){}!&+=#^~`'"

// hasClass reports whether a domain has brackets other than those of an address (RFC 5321 4.1.3).
func hasClass(domain string) bool {
	open := strings.IndexByte(domain, '[')
	return open > 0 || open == 0 && !literal.MatchString(domain)
}

var literal = regexp.MustCompile(`^\[(?i:ipv6:)?[0-9a-fA-F.:*?]+\]$`)

// hasChoice reports whether a text has several words between braces, as a shell has them.
func hasChoice(text string) bool {
	_, inner, found := strings.Cut(text, "{")
	inner, _, closed := strings.Cut(inner, "}")
	return found && closed && strings.Contains(inner, ",")
}

// isExpression reports whether a text is a regular expression. Addresses have no characters that make one.
func isExpression(text string, address bool) bool {
	return enclosed.MatchString(text) || address && within.MatchString(text)
}

func expression(text string) *Mistake {
	return &Mistake{fmt.Sprintf("%q is a regular expression, which is not supported", text),
		`* matches any text and ? one character: "*" matches everything, "@example.com" every address of a domain, "*word*" what contains a word`}
}

// isList reports whether several addresses or domains are written as one text.
func isList(text string) bool {
	items := List(text)
	bare := func(item string) bool { return !strings.ContainsAny(item, "@.*") }
	return len(items) != 1 && (strings.ContainsAny(text, ",;") || len(items) > 1 && !slices.ContainsFunc(items, bare))
}

// List returns the items of a text in which several stand between commas, semicolons or spaces.
func List(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
}

func several(text string) *Mistake {
	return &Mistake{fmt.Sprintf("%q is one string, not a list", text), WriteList(List(text))}
}

// WriteList says how a list is written.
func WriteList(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return "write [" + strings.Join(quoted, ", ") + "]"
}
