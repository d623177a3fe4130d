package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
)

// input makes an Input whose header is given as "Name: value" lines.
func input(from, to string, header ...string) *Input {
	return &Input{
		Envelope: &envelope.Envelope{From: from},
		To:       to,
		Header: func(name string) []string {
			var values []string
			for _, line := range header {
				if n, v, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
					values = append(values, v)
				}
			}
			return values
		},
	}
}

func mustCompile(t testing.TB, rules ...Rule) *Table {
	t.Helper()
	table, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestConditions(t *testing.T) {
	with := func(change func(*Input)) *Input {
		in := input("ann@x.org", "bob@y.org", "X-Class: bulk", "X-Class: news", "Empty: ")
		in.HeaderFrom = []string{"Ann@x.org", "carl@z.org"}
		in.Subject = "Invoice 7"
		in.Size = 5000
		in.Envelope.Client = envelope.Client{Addr: netip.MustParseAddr("10.1.2.3"), User: "printer", Listener: "127.0.0.1:25"}
		if change != nil {
			change(in)
		}
		return in
	}
	plain := with(nil)
	tests := []struct {
		name string
		rule Rule
		in   *Input
		want bool
	}{
		{"dots without quotes", Rule{Match: Match{To: []string{"s..p@*"}}}, input("a@x.org", `"s..p"@y.org`), true},
		{"dots with quotes", Rule{Match: Match{From: []string{`"P."@x.org`}}}, input(`"p."@x.org`, "b@y.org"), true},
		{"dots in From", Rule{Match: Match{HeaderFrom: []string{"p.@x.org"}}}, with(func(in *Input) { in.HeaderFrom = []string{`"p."@x.org`} }), true},
		{"no condition", Rule{}, plain, true},
		{"from exact", Rule{Match: Match{From: []string{"ann@x.org"}}}, plain, true},
		{"from other case", Rule{Match: Match{From: []string{"ANN@X.ORG"}}}, plain, true},
		{"from glob", Rule{Match: Match{From: []string{"*@x.org"}}}, plain, true},
		{"from domain", Rule{Match: Match{From: []string{"@X.org"}}}, plain, true},
		{"from subdomains", Rule{Match: Match{From: []string{".org"}}}, plain, true},
		{"from subdomains only", Rule{Match: Match{From: []string{".x.org"}}}, plain, false},
		{"from negated domain", Rule{Match: Match{From: []string{"!@x.org"}}}, plain, false},
		{"from whole address only", Rule{Match: Match{From: []string{"nn@x.org"}}}, plain, false},
		{"from or", Rule{Match: Match{From: []string{"*@w.org", "a??@x.org"}}}, plain, true},
		{"from negated", Rule{Match: Match{From: []string{"!ann@*"}}}, plain, false},
		{"from negated other", Rule{Match: Match{From: []string{"!bob@*"}}}, plain, true},
		{"from mixed excluded", Rule{Match: Match{From: []string{"*@x.org", "!ann@*"}}}, plain, false},
		{"from mixed kept", Rule{Match: Match{From: []string{"*@x.org", "!bob@*"}}}, plain, true},
		{"from mixed no plain match", Rule{Match: Match{From: []string{"*@w.org", "!bob@*"}}}, plain, false},
		{"null sender <>", Rule{Match: Match{From: []string{"<>"}}}, with(func(in *Input) { in.Envelope.From = "" }), true},
		{"null sender empty", Rule{Match: Match{From: []string{""}}}, with(func(in *Input) { in.Envelope.From = "" }), true},
		{"null sender star", Rule{Match: Match{From: []string{"*"}}}, with(func(in *Input) { in.Envelope.From = "" }), true},
		{"null sender domain", Rule{Match: Match{From: []string{"*@*"}}}, with(func(in *Input) { in.Envelope.From = "" }), false},
		{"not the null sender", Rule{Match: Match{From: []string{"!<>"}}}, plain, true},
		{"<> is not everybody", Rule{Match: Match{From: []string{"<>"}}}, plain, false},
		{"to", Rule{Match: Match{To: []string{"*@y.org"}}}, plain, true},
		{"all keys must hold", Rule{Match: Match{From: []string{"*"}, To: []string{"*@w.org"}}}, plain, false},
		{"header_from any", Rule{Match: Match{HeaderFrom: []string{"*@z.org"}}}, plain, true},
		{"header_from negated any", Rule{Match: Match{HeaderFrom: []string{"!*@z.org"}}}, plain, false},
		{"header_from missing", Rule{Match: Match{HeaderFrom: []string{"*"}}}, with(func(in *Input) { in.HeaderFrom = nil }), false},
		{"subject", Rule{Match: Match{Subject: []string{"invoice *"}}}, plain, true},
		{"subject missing", Rule{Match: Match{Subject: []string{"*"}}}, with(func(in *Input) { in.Subject = "" }), true},
		{"subject not", Rule{Match: Match{Subject: []string{"Reminder*"}}}, plain, false},
		{"header second value", Rule{Match: Match{Header: map[string][]string{"x-class": {"NEWS"}}}}, plain, true},
		{"header and", Rule{Match: Match{Header: map[string][]string{"X-Class": {"bulk"}, "X-Other": {"*"}}}}, plain, false},
		{"header empty", Rule{Match: Match{Header: map[string][]string{"Empty": {"*"}}}}, plain, true},
		{"header absent", Rule{Match: Match{Header: map[string][]string{"X-Spam": {"!*"}}}}, plain, true},
		{"header not absent", Rule{Match: Match{Header: map[string][]string{"X-Class": {"!*"}}}}, plain, false},
		{"header unknown", Rule{Match: Match{Header: map[string][]string{"X-Class": {"*"}}}}, with(func(in *Input) { in.Header = nil }), false},
		{"client network", Rule{Match: Match{Client: []string{"10.0.0.0/8"}}}, plain, true},
		{"client address", Rule{Match: Match{Client: []string{"10.1.2.3"}}}, plain, true},
		{"client other", Rule{Match: Match{Client: []string{"10.1.2.4", "fd00::/8"}}}, plain, false},
		{"client negated", Rule{Match: Match{Client: []string{"!10.0.0.0/8"}}}, plain, false},
		{"client mapped", Rule{Match: Match{Client: []string{"10.0.0.0/8"}}}, with(func(in *Input) { in.Envelope.Client.Addr = netip.MustParseAddr("::ffff:10.0.0.1") }), true},
		{"client of a unix socket", Rule{Match: Match{Client: []string{"0.0.0.0/0", "::/0"}}}, with(func(in *Input) { in.Envelope.Client.Addr = netip.Addr{} }), false},
		{"user", Rule{Match: Match{User: []string{"print*"}}}, plain, true},
		{"user any, none there", Rule{Match: Match{User: []string{"*"}}}, with(func(in *Input) { in.Envelope.Client.User = "" }), false},
		{"user none", Rule{Match: Match{User: []string{"!*"}}}, with(func(in *Input) { in.Envelope.Client.User = "" }), true},
		{"listener", Rule{Match: Match{Listener: []string{"127.0.0.1:25"}}}, plain, true},
		{"listener other", Rule{Match: Match{Listener: []string{"127.0.0.1:26"}}}, plain, false},
		{"min_size equal", Rule{Match: Match{MinSize: 5000}}, plain, true},
		{"min_size above", Rule{Match: Match{MinSize: 5001}}, plain, false},
		{"max_size equal", Rule{Match: Match{MaxSize: 5000}}, plain, true},
		{"max_size below", Rule{Match: Match{MaxSize: 4999}}, plain, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tc.rule.Discard = true
			table := mustCompile(t, tc.rule)
			got := table.Decide(tc.in)
			if (got.Rule == 0) != tc.want {
				t.Errorf("decision %+v", got)
			}
			verdicts, explained := table.Explain(tc.in)
			if diff := cmp.Diff(got, explained); diff != "" {
				t.Errorf("Explain decides differently: %s", diff)
			}
			if verdicts[0].Matched != tc.want || !tc.want && len(verdicts[0].Why) == 0 {
				t.Errorf("verdict %+v", verdicts[0])
			}
		})
	}
}

func TestFirstMatchWins(t *testing.T) {
	table := mustCompile(t,
		Rule{Name: "spam", Match: Match{Header: map[string][]string{"X-Spam": {"yes"}}}, Reject: "554 5.7.0 no spam"},
		Rule{Match: Match{From: []string{"*@x.org"}}, Via: []string{"a", "b"}, OnFailure: "keep", FailoverAfter: 2},
		Rule{Match: Match{To: []string{"held@*"}}, Hold: true},
		Rule{Match: Match{To: []string{"*@void.org"}}, Discard: true},
	)
	tests := []struct {
		in   *Input
		want Decision
	}{
		{input("ann@x.org", "b@y.org", "X-Spam: yes"), Decision{Rule: 0, Name: "spam", Action: Reject, Reply: envelope.Reply{Code: 554, Enhanced: [3]int{5, 7, 0}, Text: "no spam"}}},
		{input("ann@x.org", "held@y.org"), Decision{Rule: 1, Name: "route 2", Action: Deliver, Via: []string{"a", "b"}, OnFailure: "keep", FailoverAfter: 2}},
		{input("ann@z.org", "held@y.org"), Decision{Rule: 2, Name: "route 3", Action: Hold}},
		{input("ann@z.org", "x@void.org"), Decision{Rule: 3, Name: "route 4", Action: Discard}},
		{input("ann@z.org", "x@y.org"), Decision{Rule: -1, Action: Reject, Reply: NoRoute()}},
	}
	for _, tc := range tests {
		if diff := cmp.Diff(tc.want, table.Decide(tc.in)); diff != "" {
			t.Errorf("%s to %s: %s", tc.in.Envelope.From, tc.in.To, diff)
		}
	}
	released := input("ann@z.org", "held@void.org")
	released.Released = true
	if d := table.Decide(released); d.Rule != 3 {
		t.Errorf("released mail: %+v", d)
	}
	if d, known := mustCompile(t, Rule{Hold: true}, Rule{Via: []string{"a"}}).Early(released); !known || d.Rule != 1 {
		t.Errorf("released mail, early: %+v %v", d, known)
	}
	if table.Len() != 4 || !table.Alternatives("a") || table.Alternatives("c") {
		t.Error("Len or Alternatives")
	}
	if b := mustCompile(t, Rule{Balance: map[string]int{"a": 1, "b": 1}}); !b.Alternatives("b") || b.Alternatives("c") {
		t.Error("Alternatives of a balance")
	}
}

func TestActionNames(t *testing.T) {
	got := fmt.Sprint(Hold, Deliver, Reject, Discard, Action(99))
	if got != "hold via reject discard hold" {
		t.Error(got)
	}
}

func TestEarly(t *testing.T) {
	table := mustCompile(t,
		Rule{Match: Match{From: []string{"bad@*"}}, Reject: "550 go away"},
		Rule{Match: Match{To: []string{"*@y.org"}, Subject: []string{"x"}}, Discard: true},
		Rule{Match: Match{To: []string{"*@y.org", "*@z.org"}}, Via: []string{"a"}},
	)
	tests := []struct {
		from, to string
		rule     int
		known    bool
	}{
		{"bad@x.org", "a@y.org", 0, true},
		{"ann@x.org", "a@y.org", 0, false},
		{"ann@x.org", "a@z.org", 2, true},
		{"ann@x.org", "a@w.org", -1, true},
	}
	for _, tc := range tests {
		d, known := table.Early(input(tc.from, tc.to))
		if known != tc.known || known && d.Rule != tc.rule {
			t.Errorf("%s %s: %+v %v", tc.from, tc.to, d, known)
		}
	}
}

// TestEarlyAgrees: what Early decides, Decide decides for every header and size.
func TestEarlyAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) []string {
		if r.IntN(2) == 0 {
			return nil
		}
		return []string{list[r.IntN(len(list))]}
	}
	definite := 0
	for range 20_000 {
		rules := make([]Rule, 1+r.IntN(4))
		for i := range rules {
			rules[i] = Rule{
				Match: Match{From: pick("*@a.org", "!x@a.org", "<>"), To: pick("*@b.org", "!y@b.org"), User: pick("*", "!*", "u"), Subject: pick("s*", "!s*"), HeaderFrom: pick("*@a.org", "!*")},
			}
			if r.IntN(3) == 0 {
				rules[i].Header = map[string][]string{"X": {[]string{"*", "!*", "v"}[r.IntN(3)]}}
			}
			if r.IntN(4) == 0 {
				rules[i].MinSize = r.Int64N(3) * 100
			}
			switch r.IntN(4) {
			case 0:
				rules[i].Reject = "550 no"
			case 1:
				rules[i].Balance = map[string]int{"a": 1, "b": 2}
			case 2:
				rules[i].Hold = true
			default:
				rules[i].Via = []string{"a"}
			}
		}
		table := mustCompile(t, rules...)
		in := input([]string{"x@a.org", "z@c.org", ""}[r.IntN(3)], []string{"y@b.org", "q@c.org"}[r.IntN(2)])
		in.Envelope.Client.User = []string{"", "u"}[r.IntN(2)]
		in.ID, in.Released = fmt.Sprint(r.IntN(10)), r.IntN(5) == 0
		header := in.Header
		in.Header = nil
		early, known := table.Early(in)
		if !known {
			continue
		}
		definite++
		for range 5 {
			in.Header = header
			in.Subject = []string{"", "s1", "t"}[r.IntN(3)]
			in.HeaderFrom = [][]string{nil, {"x@a.org"}, {"q@z.org"}}[r.IntN(3)]
			in.Size = r.Int64N(300)
			if r.IntN(2) == 0 {
				in.Header = func(string) []string { return []string{"v"} }
			}
			if diff := cmp.Diff(early, table.Decide(in)); diff != "" {
				t.Fatalf("rules %+v\ninput %+v\n%s", rules, in, diff)
			}
		}
	}
	if definite < 1000 {
		t.Errorf("only %d definite decisions", definite)
	}
}

func TestExplain(t *testing.T) {
	table := mustCompile(t,
		Rule{Match: Match{From: []string{"*@y.org"}, Client: []string{"10.0.0.0/8"}}, Via: []string{"a"}},
		Rule{Name: "classes", Match: Match{Header: map[string][]string{"X-Class": {"bulk", "!news"}}, MinSize: 100}, Via: []string{"a"}},
		Rule{Match: Match{From: []string{"!*@x.org"}, MaxSize: 5}, Hold: true},
		Rule{Match: Match{HeaderFrom: []string{"*"}}, Hold: true},
		Rule{Match: Match{From: []string{"ann@*"}, To: []string{"!c@*"}, MinSize: 1}, Via: []string{"a"}},
		Rule{Via: []string{"never"}},
	)
	in := input("ann@x.org", "b@z.org", "X-Class: bulk", "X-Class: "+strings.Repeat("n", 200))
	in.Size = 50
	got, d := table.Explain(in)
	want := []Verdict{
		{0, "route 1", false, []string{`from = "ann@x.org" matches none of ["*@y.org"]`, `client has no value and matches none of ["10.0.0.0/8"]`}},
		{1, "classes", false, []string{"size = 50 is below min_size = 100"}},
		{2, "route 3", false, []string{`from = "ann@x.org" is excluded by "!*@x.org"`, "size = 50 is above max_size = 5"}},
		{3, "route 4", false, []string{`header_from has no value and matches none of ["*"]`}},
		{4, "route 5", true, []string{`from = "ann@x.org" matches "ann@*"`, `to = "b@z.org" is not excluded by ["!c@*"]`, "size = 50 is within the limits"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d.Rule != 4 {
		t.Errorf("%+v", d)
	}
	none, d := mustCompile(t, Rule{Match: Match{Header: map[string][]string{"X-Class": {"x"}}}, Hold: true}).Explain(in)
	wantWhy := `header.X-Class = ["bulk", "` + strings.Repeat("n", 120) + `…"] matches none of ["x"]`
	if len(none) != 1 || none[0].Why[0] != wantWhy || d.Rule != -1 {
		t.Errorf("%+v", none)
	}
	in.Released = true
	held, _ := mustCompile(t, Rule{Hold: true}).Explain(in)
	if held[0].Matched || !strings.Contains(held[0].Why[0], "released") {
		t.Errorf("%+v", held)
	}
}

func TestBalance(t *testing.T) {
	table := mustCompile(t, Rule{Balance: map[string]int{"a": 3, "b": 1, "c": 1}})
	first := map[string]int{}
	const n = 20_000
	for i := range n {
		in := input("", "x@y.org")
		in.ID = fmt.Sprintf("id%d", i)
		d := table.Decide(in)
		first[d.Via[0]]++
		sorted := slices.Sorted(slices.Values(d.Via))
		if !slices.Equal(sorted, []string{"a", "b", "c"}) {
			t.Fatalf("via %q", d.Via)
		}
		if again := table.Decide(in); !slices.Equal(again.Via, d.Via) {
			t.Fatalf("not sticky: %q, %q", d.Via, again.Via)
		}
	}
	for name, share := range map[string]float64{"a": 0.6, "b": 0.2, "c": 0.2} {
		if got := float64(first[name]) / n; got < share-0.02 || got > share+0.02 {
			t.Errorf("%s is first in %.3f, want %.1f", name, got, share)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	rules := make([]Rule, 20)
	for i := range rules {
		rules[i] = Rule{Match: Match{From: []string{fmt.Sprintf("*@d%d.example", i)}}, Via: []string{"a"}}
	}
	table := mustCompile(b, rules...)
	in := input("ann@d19.example", "bob@y.org")
	for b.Loop() {
		if table.Decide(in).Rule != 19 {
			b.Fatal("wrong rule")
		}
	}
}
