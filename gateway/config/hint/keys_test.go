package hint

import (
	"slices"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	known := []string{"allow", "address", "max_rate", "tls"}
	for _, c := range []struct {
		key         string
		there       string // a key that the table has already
		places      []string
		meant, hint string
	}{
		{"Address", "", nil, "address", `did you mean "address"?`}, {"adress", "", nil, "address", `did you mean "address"?`},
		{"listen", "", nil, "address", `did you mean "address"?`}, {"Listen-Address", "", nil, "address", `did you mean "address"?`},
		{"listen", "address", nil, "", `it means the same as "address"`}, {"hostname", "address", []string{""}, "", "above the first line in [brackets]"},
		{"max_age", "", []string{"[queue]"}, "", "it is a key of [queue]"}, {"from", "", []string{"[[route]]", "[[rewrite]]"}, "", "it is a key of [[route]] and of [[rewrite]]"},
		{"mynetworks", "", nil, "allow", `did you mean "allow"?`}, {"colour", "", nil, "", "allowed here: allow, address"},
		{"password_command", "", nil, "", "runs no programs"},
	} {
		meant, hint := Key("listener", c.key, known, func(k string) bool { return k == c.there }, c.places)
		if meant != c.meant || !strings.Contains(hint, c.hint) {
			t.Errorf("%s beside %s: %q, %s", c.key, c.there, meant, hint)
		}
	}
	if _, hint := Key("", "smarthost", []string{"hostname"}, func(string) bool { return false }, nil); !strings.Contains(hint, "[upstream.relay]") {
		t.Error(hint)
	}
}

// TestSynonyms: each is written as it is compared, and means one key only of those that a table can have at once.
func TestSynonyms(t *testing.T) {
	for _, table := range []string{"", "listener", "listener.user", "upstream", "route", "rewrite", "identity", "queue", "admin", "log"} {
		all := synonyms[table]
		if len(all) == 0 {
			t.Errorf("%s has none", table)
		}
		seen := map[string]string{}
		for key, names := range all {
			for i, name := range names {
				if name != strings.ToLower(name) || strings.Contains(name, "-") || slices.Index(names, name) < i {
					t.Errorf("%s %s: %q", table, key, name)
				}
				if other := seen[name]; other != "" && table != "upstream" {
					t.Errorf("%s: %q means %s and %s", table, name, key, other)
				}
				seen[name] = key
			}
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"hostnme": "hostname", "HOSTNAME": "hostname", "lgo": "log", "colour": "", strings.Repeat("hostname", 10): ""} {
		if got := Nearest(name, []string{"hostname", "log"}); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWords(t *testing.T) {
	if got := Either([]string{"a", "b", "c"}); got != `"a", "b" or "c"` {
		t.Error(got)
	}
	for word, want := range map[string]string{"SSL": "implicit", "tls": "starttls", "no": "none", "starttsl": "starttls", "xyz": ""} {
		if got := DidYouMean(word, []string{"none", "starttls", "implicit"}); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %s", word, got)
		}
	}
	if DidYouMean("lgo", []string{"log"}) != `did you mean "log"?` || DidYouMean("colour", []string{"log"}) != "" {
		t.Error("the nearest name is another")
	}
}
