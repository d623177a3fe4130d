package main

import (
	"fmt"
	"strings"
	"testing"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/trial"
)

// TestPrintTried: a few messages get a line each, many are summed up by what became of them.
func TestPrintTried(t *testing.T) {
	fates := []trial.Fate{
		{ID: "A1", To: []string{"ann@example.org"}, Upstream: "main", Outcome: trial.Sent},
		{ID: "A1", To: []string{"b@x", "c@x", "d@x", "e@x"}, Upstream: "main", Outcome: trial.Refused, Words: "450: later"},
		{ID: "B2", To: []string{"b@x"}, Upstream: "main", Outcome: trial.Uncertain, Words: "reply lost"},
		{ID: "C3", To: []string{"b@x"}, Upstream: "main", Outcome: trial.Waits, Words: "paused by root since 11:20"},
		{ID: "D4", To: []string{"b@x"}, Outcome: trial.Held, Words: "held by route drafts"},
		{ID: "E5", To: []string{"b@x"}, Outcome: trial.Failed, Words: "550: no"},
		{ID: "F6", To: []string{"b@x"}, Outcome: trial.Discarded},
	}
	var out strings.Builder
	printTried(&out, &api.Changed{Changed: 6, Tried: fates})
	want := `  A1 to ann@example.org: sent by main
  A1 to b@x, c@x, d@x +1: still refused by main: 450: later
  B2 to b@x: main may have taken it: reply lost
  C3 to b@x: still waits: paused by root since 11:20
  D4 to b@x: held by route drafts; mailhatch queue release lets it go
  E5 to b@x: given up: 550: no
  F6 to b@x: discarded
`
	if line := triedLine(&api.Changed{Changed: 6, Tried: fates}); line != "4 messages tried now, 2 still wait" {
		t.Error(line)
	}
	if line := triedLine(&api.Changed{Changed: 1000, More: true}); line != "more than 1000 messages due now" {
		t.Error(line)
	}
	if out.String() != want {
		t.Errorf("a few:\n%s", out.String())
	}

	var many []trial.Fate
	for i := range 1000 {
		f := trial.Fate{ID: fmt.Sprint(i), To: []string{"a@x", "b@x"}, Upstream: "main", Outcome: trial.Sent}
		if i >= 900 {
			f.Outcome, f.Words = trial.Waits, "rate: 900 before it"
		}
		many = append(many, f)
	}
	out.Reset()
	printTried(&out, &api.Changed{Changed: 5000, Tried: many})
	if want := "of the first 1000:\n  1800 recipients: sent by main\n  200 recipients: still waits: rate: 900 before it\n"; out.String() != want {
		t.Errorf("many:\n%s", out.String())
	}
	for i := range many {
		many[i].Words = fmt.Sprint(i)
		many[i].Outcome = trial.Failed
	}
	out.Reset()
	printTried(&out, &api.Changed{Changed: 1000, Tried: many})
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != maxTried+1 || !strings.Contains(lines[maxTried], "and others") {
		t.Errorf("all in another way:\n%s", out.String())
	}
	out.Reset()
	if printTried(&out, &api.Changed{Changed: 3}); out.Len() > 0 {
		t.Errorf("nobody waited: %s", out.String())
	}
}
