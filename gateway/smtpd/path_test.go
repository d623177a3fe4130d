package smtpd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		in   string
		want path
		err  error
	}{
		{"a@b.c", path{"a@b.c", "", true}, nil},
		{"root", path{"root@d.test", "root", true}, nil},
		{`"root"`, path{"root@d.test", `"root"`, true}, nil},
		{`"a b"`, path{`"a b"@d.test`, `"a b"`, true}, nil},
		{"a@b.c.", path{"a@b.c", "", true}, nil},
		{"@r.x,@s.y:a@b.c", path{"a@b.c", "", true}, nil},
		{"@r.x:root", path{"root@d.test", "root", true}, nil},
		{`".a"@b`, path{`".a"@b`, "", true}, nil},
		{"a.@docomo.example", path{`"a."@docomo.example`, "", true}, nil},
		{`"\a\""@b`, path{`"a\""@b`, "", true}, nil},
		{"ä@b", path{"ä@b", "", false}, nil},
		{"a@[192.0.2.1]", path{"a@[192.0.2.1]", "", true}, nil},
		{"a@[IPv6:2001:db8::1]", path{"a@[IPv6:2001:db8::1]", "", true}, nil},
		{"a@[fe80::1%eth0]", path{}, errDomain},
		{"@r.x", path{}, errRoute},
		{`@"r:a@b`, path{}, errRoute},
		{"", path{}, errLocal},
		{"@b", path{}, errRoute},
		{`""@b`, path{}, errLocal},
		{`"a"b@c`, path{}, errLocal},
		{`"a\`, path{}, errLocal},
		{`"a`, path{}, errLocal},
		{"a\u00a0b@c", path{}, errLocal},
		{"a@b\u00a0c", path{}, errDomain},
		{"a@", path{}, errDomain},
		{"a@b!c", path{}, errDomain},
		{"a@" + strings.Repeat("b.", 200) + "c", path{}, errDomain},
		{strings.Repeat("a", 256) + "@c", path{}, errTooLong},
		{"\xff@b", path{}, errUTF8},
	}
	for _, tt := range tests {
		got, err := parsePath(tt.in, "d.test")
		if err != tt.err {
			t.Errorf("%q: error %v, want %v", tt.in, err, tt.err)
			continue
		}
		if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(path{})); err == nil && d != "" {
			t.Errorf("%q: %s", tt.in, d)
		}
	}
}

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
		p, err := parsePath(text, "d.test")
		if err != nil || strings.ContainsFunc(s, isControl) {
			return
		}
		text, rest, err := cutPath("<" + p.address + "> X=1")
		if err != nil || text != p.address || rest != " X=1" {
			t.Fatalf("%q: %q in brackets gives %q, %q, %v", s, p.address, text, rest, err)
		}
		again, err := parsePath(p.address, "other.test")
		if err != nil || again.address != p.address || again.given != "" {
			t.Fatalf("%q: %q becomes %+v, %v", s, p.address, again, err)
		}
	})
}
