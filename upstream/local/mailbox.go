package local

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// mailboxPath is the path of the config: {local} and {domain} in it are those of the recipient.
type mailboxPath string

var pathMarks = regexp.MustCompile(`[{}]|\$\{?[A-Za-z]|%[A-Za-z]`)

// check returns what is wrong with the path; nil when nothing is.
func (p mailboxPath) check() error {
	rest := strings.NewReplacer("{local}", "", "{domain}", "").Replace(string(p))
	switch mark := pathMarks.FindString(rest); {
	case p == "":
		return &upstream.KeyError{Key: "path", Problem: "is missing", Hint: `for example path = "/var/mail/mailhatch"`}
	case mark != "":
		return &upstream.KeyError{Key: "path", Problem: fmt.Sprintf("has %q, which is not known here", mark),
			Hint: `{local} and {domain} are the two halves of the recipient's address: "/var/mail/{local}"`}
	}
	return nil
}

// of returns the path for a recipient.
func (p mailboxPath) of(address string) string {
	if p.isFixed() {
		return string(p)
	}
	local, domain, _ := mime.SplitAddress(address)
	if path, err := mime.ParsePath(address, ""); err == nil {
		local, domain = path.Local, path.Domain // without quotes
	}
	return strings.NewReplacer("{local}", fileName(local), "{domain}", fileName(domain)).Replace(string(p))
}

func (p mailboxPath) isFixed() bool { return !strings.Contains(string(p), "{") }

// root returns the directory above all that depends on the recipient.
func (p mailboxPath) root() string {
	if fixed, _, found := strings.Cut(string(p), "{"); found {
		return filepath.Dir(fixed + "x")
	}
	return string(p)
}

// fileName makes one name of a file of what a stranger wrote: in lower case, as mailboxes are named, and with what
// could lead elsewhere (separators, dots in front, NUL) as %2F.
func fileName(s string) string {
	var b strings.Builder
	for i, c := range []byte(strings.ToLower(s)) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`/\:%*?"<>|`, c) >= 0 || c == '.' && i == 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	if b.Len() == 0 {
		return "%"
	}
	return b.String()
}
