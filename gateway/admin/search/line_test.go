package search

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ago := now.Add(-2 * time.Hour)
	for line, want := range map[string]Line{
		"":                          {},
		"  to:bob\tstate:Failed  ":  {To: "bob", State: "failed"},
		"state:waits":               {State: "queued"},
		"state:delivered":           {State: "delivered"},
		"state:deleted":             {State: "discarded"},
		`subject:"your order" id:X`: {Subject: "your order", ID: "X"},
		`"your order"`:              {Subject: "your order"},
		"your order":                {Subject: "your order"},
		"bob@example.com":           {To: "bob@example.com"},
		"<m.1@example.com>":         {MessageID: "<m.1@example.com>"},
		"message_id:<m@x>":          {MessageID: "<m@x>"},
		"provider-id:re_1":          {ProviderID: "re_1"},
		"from:*@x.org upstream:eu":  {From: "*@x.org", Upstream: "eu"},
		"since:2h":                  {Since: ago},
		"older:2h":                  {Until: ago},
		"until:10:00":               {Until: ago},
		"12:30":                     {Subject: "12:30"},
		"38HFZFX45DQ3X":             {ID: "38HFZFX45DQ3X"},
		"38hfzfx45dq3x state:sent":  {ID: "38hfzfx45dq3x", State: "sent"},
		"ABCDEFGHJKMNP 38HFZFX45DQ": {Subject: "ABCDEFGHJKMNP 38HFZFX45DQ"},
		"bücher größe":              {Subject: "bücher größe"},
	} {
		got, err := Parse(line, now)
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		again, err := Parse(Join(got.Words), now)
		if err != nil {
			t.Errorf("%q again: %v", line, err)
			continue
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Errorf("%q is another thing when it is joined: %s", line, d)
		}
		got.Words = nil
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("%q: %s", line, d)
		}
	}
	for line, want := range map[string]string{
		"state:nope":        "state:nope is not a state; the states are queued, held, failed",
		"tow:bob":           `no search word "tow:"; the words are id:, state:`,
		"to:a to:b":         "to: is there twice",
		"to:":               "to: says nothing",
		`subject:"never`:    `do not end`,
		"since:tomorrowish": "since: ",
	} {
		if _, err := Parse(line, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// FuzzParse: every line is understood or refused, and what is understood can be written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`to:bob "x y" z`, `"`, `a:"`, "\xff:\xfe", "since:2h until:now"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, line string) {
		l, err := Parse(line, now)
		if err != nil {
			return
		}
		if again, err := Parse(Join(l.Words), now); err != nil || again.To != l.To {
			t.Errorf("%q: %q: %v", line, Join(l.Words), err)
		}
	})
}
