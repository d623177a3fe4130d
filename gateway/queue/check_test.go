package queue

import "testing"

// Addresses are compared as people write them, whatever quotes the envelope has.
func TestMatchesAddress(t *testing.T) {
	for _, c := range []struct {
		pattern, addr string
		want          bool
	}{
		{"", `"s..p"@x`, true}, {"s..p@x", `"s..p"@x`, true}, {`"S..P"@X`, `"s..p"@x`, true}, {"*@x", `"s..p"@x`, true},
		{"s.p@x", `"s..p"@x`, false}, {`"a b"@x`, `"a b"@x`, true},
		{"<>", "", true}, {"<>", "a@x", false},
	} {
		f := HistoryFilter{To: c.pattern}
		if got := f.Names("", c.addr); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.addr, got)
		}
	}
}
