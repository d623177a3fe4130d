package route

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDescribe: a table can be read as it was written, with what each rule has decided.
func TestDescribe(t *testing.T) {
	table, err := Compile([]Rule{
		{Name: "drafts", Match: Match{To: []string{"*@drafts.example.net", "!ann@*"}, MinSize: 10, MaxSize: 2000}, Hold: true},
		{Match: Match{Header: map[string][]string{"X-Class": {"bulk"}}, MaxSize: 5}, Balance: map[string]int{"main": 3, "relay": 1}},
		{Name: "no", Match: Match{From: []string{"evil@*"}}, Reject: "550 no"},
		{Name: "away", Match: Match{Client: []string{"10.0.0.0/8"}, MinSize: 7}, Discard: true},
		{Via: []string{"main", "relay"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Decision{{Rule: 0}, {Rule: 4}, {Rule: 4}, unrouted(), {Rule: 99}} {
		table.Accepted(&d)
	}
	want := []Description{
		{Name: "drafts", Conditions: []string{`to = ["*@drafts.example.net", "!ann@*"]`, "min_size = 10, max_size = 2000"}, Action: "hold", Hits: 1},
		{Name: "route 2", Conditions: []string{`header.X-Class = ["bulk"]`, "max_size = 5"}, Action: "balance main 3, relay 1"},
		{Name: "no", Conditions: []string{`from = ["evil@*"]`}, Action: "reject 550 5.7.1 no"},
		{Name: "away", Conditions: []string{`client = ["10.0.0.0/8"]`, "min_size = 7"}, Action: "discard"},
		{Name: "route 5", Action: "via main, then relay", Hits: 2},
	}
	if d := cmp.Diff(want, table.Describe()); d != "" {
		t.Error(d)
	}
}
