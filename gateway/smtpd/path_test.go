package smtpd

import (
	"strings"
	"testing"

	"mailhatch/mime"
)

// What was written anew means the same when it is read again, inside brackets or not.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a@b.c", "root", `"a b"@c`, "@x:a@b", `"a\"\\>"@[IPv6:::1]`, "a..b@c", "ä@ö", "<a@b> SIZE=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, _, err := cutPath(s)
		if err != nil {
			return
		}
		p, err := mime.ParsePath(text, "d.test")
		if err != nil || strings.ContainsFunc(s, isControl) {
			return
		}
		text, rest, err := cutPath("<" + p.String() + "> X=1")
		if err != nil || text != p.String() || rest != " X=1" {
			t.Fatalf("%q: %q in brackets gives %q, %q, %v", s, p.String(), text, rest, err)
		}
		again, err := mime.ParsePath(p.String(), "other.test")
		if err != nil || again.String() != p.String() || again.Bare != "" {
			t.Fatalf("%q: %q becomes %+v, %v", s, p.String(), again, err)
		}
	})
}
