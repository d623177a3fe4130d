package glob

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

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

func TestStars(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       []string
	}{
		{"*@old.example", "Ann.Lee@OLD.example", []string{"Ann.Lee"}},
		{"*@*.old.example", "ann@a.b.old.example", []string{"ann", "a.b"}},
		{"root@*", "ROOT@Web01", []string{"Web01"}},
		{"*", "", []string{""}}, {"**", "ab", []string{"", "ab"}}, {"a*", "a", []string{""}}, {"*a*a*", "xaya", []string{"x", "y", ""}},
		{"a*b*c", "a--b--b-c", []string{"--", "--b-"}}, {"*?b", "xxéb", []string{"xx"}}, {"?*?", "éüx", []string{"ü"}},
		{"*X", "İ\xffİx", []string{"İ\xffİ"}}, // in lower case it has other bytes
		{"plain", "PLAIN", nil},
	} {
		got, ok := Stars(tc.pattern, tc.s)
		if !ok || !slices.Equal(got, tc.want) {
			t.Errorf("Stars(%q, %q) = %q, %v", tc.pattern, tc.s, got, ok)
		}
	}
	if _, ok := Stars("*@a", "x@b"); ok {
		t.Error("it does not match")
	}
}

// FuzzStars: what the stars stand for, put in their places, is the text again.
func FuzzStars(f *testing.F) {
	fold := strings.ToLower // as Match asks for; EqualFold knows no İ
	f.Add("*@*.x", "a@b.c.x")
	f.Add("a**İ*", "aİé\xffi")
	f.Add("İ", "I")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if strings.Contains(pattern, "?") || strings.Contains(pattern+s, "\x00") || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			t.Skip()
		}
		texts, ok := Stars(pattern, s)
		if ok != Match(strings.ToLower(pattern), strings.ToLower(s)) {
			t.Fatal("Match says something else")
		}
		filled := pattern
		for _, text := range texts {
			before, after, _ := strings.Cut(filled, "*")
			filled = before + strings.ReplaceAll(text, "*", "\x00") + after
		}
		if filled = strings.ReplaceAll(filled, "\x00", "*"); ok && fold(filled) != fold(s) {
			t.Errorf("%q in %q is %q, not %q", texts, pattern, filled, s)
		}
	})
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
