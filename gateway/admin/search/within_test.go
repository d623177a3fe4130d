package search

import "testing"

func TestBareWordsMatchWithin(t *testing.T) {
	for word, want := range map[string]string{"": "", "bob": "*bob*", "example.org": "*example.org*", "@example.org": "*@example.org*", "bob@": "*bob@*",
		"bob@example.org": "bob@example.org", "*@example.org": "*@example.org", "bo?": "bo?", "<>": "<>"} {
		if got := Address(word); got != want {
			t.Errorf("address %q: %q, want %q", word, got, want)
		}
	}
	for word, want := range map[string]string{"": "", "order 7": "*order 7*", "Order*": "Order*", "7?": "7?", "a@b": "*a@b*"} {
		if got := Text(word); got != want {
			t.Errorf("text %q: %q, want %q", word, got, want)
		}
	}
}
