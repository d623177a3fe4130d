package glob

import (
	"strings"
	"testing"

	"mailhatch/mime/mimetest"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "abc", true}, {"?", "", false},
		{"?", "é", true}, {"??", "é", false}, {"*??b", "€b", false}, {"*?b", "€b", true},
		{"a*b*c", "a--b--b-c", true}, {"a*b*c", "a--b--b-", false}, {"*a", "banana", true}, {"*n", "banana", false},
		{"[a]", "a", false}, {"[a]", "[a]", true}, {"a?c*", "abc", true}, {"*\xff?", "x\xff\xfe", true},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 5000), false},
	}
	for _, tc := range tests {
		if got := Match(tc.pattern, tc.s); got != tc.want {
			t.Errorf("Match(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}

// TestManyStars: stars do not multiply the cost.
func TestManyStars(t *testing.T) {
	for _, pattern := range []string{strings.Repeat("*a", 1000) + "b", strings.Repeat("*?", 1000) + "b", strings.Repeat("*", 5000) + "b"} {
		mimetest.CheckLinear(t, pattern[:4], 50_000, func(n int) func() {
			s := strings.Repeat("a", n)
			return func() {
				if Match(pattern, s) {
					t.Error("it matches")
				}
			}
		})
	}
}
