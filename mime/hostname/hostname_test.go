package hostname

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{"localhost", "a.example.com", "xn--bcher-kva.example", "1.2.3", "A-b.C"} {
		if err := Check(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	long := strings.Repeat("a", 64)
	for _, bad := range []string{"", ".", "a.", "a..b", "-a", "a-", "a_b", "bücher.example", "a b", long, strings.Repeat("a.", 127) + "aa"} {
		if Check(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestOrLiteral(t *testing.T) {
	for _, good := range []string{"localhost", "my_host.example", "bücher.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "[2001:db8::1]"} {
		if !OrLiteral(good) {
			t.Errorf("%q was refused", good)
		}
	}
	for _, bad := range []string{"", "a..b", "a b", "a\u00a0b", "a!b", "[192.0.2.1", "[fe80::1%eth0]", "[]", strings.Repeat("a.", 128) + "a"} {
		if OrLiteral(bad) {
			t.Errorf("%q was taken", bad)
		}
	}
}
