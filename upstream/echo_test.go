package upstream

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestWithout(t *testing.T) {
	for _, row := range []struct{ message, text, want string }{
		{"Your account has been suspended", "Sign in to your account", "x x has been suspended"},
		{"Your account has been suspended", "your ACCOUNT, has", "x x x been suspended"},
		{"account: suspended. account: suspended!", "account suspended", "x: x. x: x!"},
		{"Your account has been suspended", "account; your suspended", "Your account has been suspended"},
		{"Grüße aus Köln!", "GRÜSSE; GRÜßE AUS", "x x Köln!"},
		{"try again after Tue, 01 Dec 2026 05:30:00 GMT", "Tue, 01 Dec 2026 05:30:00 GMT", "try again after Tue, 01 Dec 2026 05:30:00 GMT"},
		{"try again on 2026-12-01T05:30:00Z", "try again 2026-12-01T05:30:00Z", "x x on 2026-12-01T05:30:00Z"},
		{"quota 300 exceeded", "quota 300 exceeded", "x x x"},
		{"", "a b", ""},
		{"a b", "", "a b"},
		{"\xff a\xffb", "a b", "\xff x\xffx"},
	} {
		if got := without(row.message, []string{"", "x", row.text}); got != row.want {
			t.Errorf("%q without %q is %q, want %q", row.message, row.text, got, row.want)
		}
	}
}

func FuzzWithout(f *testing.F) {
	f.Add("Domain x is not allowed to send: try again after Mon, 02 Feb 2026 03:00:00 GMT")
	f.Fuzz(func(t *testing.T, s string) {
		left := word.FindAllString(without(s, []string{s}), -1)
		if len(s) <= answered && len(left) > 1 && slices.ContainsFunc(left, func(w string) bool { return w != "x" && len(w) > 3 && strings.IndexFunc(s, unicode.IsNumber) < 0 }) {
			t.Errorf("%q repeats itself but for %q", s, left)
		}
	})
}
