package mime

import (
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		in   string
		want [2]string // the path, and the name when it was bare
		err  error
	}{
		{"a@b.c", [2]string{"a@b.c", ""}, nil},
		{"root", [2]string{"root@d.test", "root"}, nil},
		{`"root"`, [2]string{"root@d.test", `"root"`}, nil},
		{`"a b"`, [2]string{`"a b"@d.test`, `"a b"`}, nil},
		{"a@b.c.", [2]string{"a@b.c", ""}, nil},
		{"@r.x,@s.y:a@b.c", [2]string{"a@b.c", ""}, nil},
		{"@r.x:root", [2]string{"root@d.test", "root"}, nil},
		{`".a"@b`, [2]string{`".a"@b`, ""}, nil},
		{"a.@docomo.example", [2]string{`"a."@docomo.example`, ""}, nil},
		{`"\a\""@b`, [2]string{`"a\""@b`, ""}, nil},
		{"ä@b", [2]string{"ä@b", ""}, nil},
		{"a@[192.0.2.1]", [2]string{"a@[192.0.2.1]", ""}, nil},
		{"a@[IPv6:2001:db8::1]", [2]string{"a@[IPv6:2001:db8::1]", ""}, nil},
		{"a@[fe80::1%eth0]", [2]string{}, errDomain},
		{"@r.x", [2]string{}, errSourceRoute},
		{`@"r:a@b`, [2]string{}, errSourceRoute},
		{"", [2]string{}, ErrNoAddress},
		{"@b", [2]string{}, errSourceRoute},
		{`""@b`, [2]string{}, errLocalPart},
		{`"a"b@c`, [2]string{}, errLocalPart},
		{`"a\`, [2]string{}, errLocalPart},
		{`"a`, [2]string{}, errLocalPart},
		{"a\u00a0b@c", [2]string{}, errLocalPart},
		{"a@b\u00a0c", [2]string{}, errDomain},
		{"a@", [2]string{}, errDomain},
		{"a@b!c", [2]string{}, errDomain},
		{"a@" + strings.Repeat("b.", 200) + "c", [2]string{}, errDomain},
		{strings.Repeat("a", 256) + "@c", [2]string{}, errTooLong},
		{"\xff@b", [2]string{}, errUTF8},
	}
	for _, tt := range tests {
		p, err := ParsePath(tt.in, "d.test")
		if err != tt.err {
			t.Errorf("%q: error %v, want %v", tt.in, err, tt.err)
			continue
		}
		if got := [2]string{p.String(), p.Bare}; err == nil && got != tt.want {
			t.Errorf("%q: %q", tt.in, got)
		}
	}
}

func TestCheckDomain(t *testing.T) {
	for _, good := range []string{"localhost", "a.example.com", "xn--bcher-kva.example", "1.2.3", "A-b.C"} {
		if err := CheckDomain(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	long := strings.Repeat("a", 64)
	for _, bad := range []string{"", ".", "a.", "a..b", "-a", "a-", "a_b", "bücher.example", "a b", long, strings.Repeat("a.", 127) + "aa"} {
		if CheckDomain(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
