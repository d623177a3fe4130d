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
		{`"a@b.c"`, [2]string{"a@b.c", ""}, nil},
		{`"a..b@c"`, [2]string{`"a..b"@c`, ""}, nil},
		{`"\"a b\"@c"`, [2]string{`"a b"@c`, ""}, nil},
		{`"a@b"@c`, [2]string{`"a@b"@c`, ""}, nil},
		{`"a b@c"`, [2]string{}, errLocalPart},
		{`"a@"`, [2]string{}, errDomain},
		{`"@b"`, [2]string{}, errSourceRoute},
		{`"a@b@c"`, [2]string{}, errDomain},
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

func TestAddressText(t *testing.T) {
	for given, want := range map[string]string{
		`"s..p"@x`: "s..p@x", `"p."`: "p.", `"a"@x`: "a@x", `"*"@*`: "*@*", "a@x": "a@x", "": "", `"`: `"`, `""@x`: `""@x`,
		`"a b"@x`: `"a b"@x`, `"a@b"@x`: `"a@b"@x`, `"a"b@x`: `"a"b@x`, `"\""@x`: `"\""@x`,
	} {
		if got := AddressText(given); got != want {
			t.Errorf("%s: %s", given, got)
		}
	}
}

func TestAddressKey(t *testing.T) {
	for _, same := range [][]string{
		{"s..p@x.test", `"s..p"@x.test`, `"S.\.p"@X.test.`},
		{"p.@x.test", `"p."@x.test`},
		{"a@x", `"a"@x`, "A@X"},
		{`"a b"@x`, `"A\ b"@x`},
		{"a@bücher.example", "a@xn--bcher-kva.example", "A@BÜCHER.example"},
		{"s..p", `"s..p"`},
		{"root", `"Root"`},
		{""},
		{`""@x`},
		{`"a@x"@y`},
		{"a@x.y"},
		{"a@[IPv6:::1]", "a@[ipv6:::1]"},
		{`"a`},
	} {
		for _, addr := range same {
			if got, want := AddressKey(addr), AddressKey(same[0]); got != want || !SameAddress(addr, same[0]) {
				t.Errorf("%s: %s, but %s: %s", addr, got, same[0], want)
			}
		}
	}
	keys := map[string]string{}
	for _, addr := range []string{"s..p@x.test", "s.p@x.test", "p.@x.test", "p@x.test", "", `""@x`, `"a@x"@y`, "a@x", "root"} {
		if other, dup := keys[AddressKey(addr)]; dup {
			t.Errorf("%q and %q are one", addr, other)
		}
		keys[AddressKey(addr)] = addr
	}
	local, _, _ := SplitAddress(AddressKey("s..p@x.test"))
	if local != AddressKey("s..p") {
		t.Errorf("the name within a key is %s", local)
	}
}
