package route

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
)

// TestRewriteProperties compares the envelope with a plain model, and looks that the header shows no
// address that it did not show before but those that rules write.
func TestRewriteProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	pick := func(list []string, most int) []string {
		var out []string
		for range rnd.IntN(most + 1) {
			if s := list[rnd.IntN(len(list))]; !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		return out
	}
	people := []string{"ann@y.org", "bob@y.org", "cee@y.org", "dee@w.org", "eve@w.org", "fay@v.org"}
	places := []string{"qa@z.org", "arc@z.org", "bob@y.org"}
	patterns := []string{"*@y.org", "*@w.org", "!*@w.org", "*", "qa@*", "!bob@*"}
	for range 3000 {
		shown, hidden := pick(people, 3), pick(people, 3)
		to := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(shown), hidden...))))
		if len(to) == 0 {
			continue
		}
		var rules []Rewrite
		for range 1 + rnd.IntN(4) {
			rules = append(rules, Rewrite{Match: Match{To: pick(patterns, 2)}, RedirectTo: pick(places, 2), AddBcc: pick(places, 2), SubjectPrefix: "[t]"})
		}
		m := rewriteMail(fmt.Sprintf("From: x@x.org\r\nTo: %s\r\nSubject: s\r\n\r\n", strings.Join(shown, ", ")), "x@x.org", to...)
		if err := compileRewrites(t, rules...).Apply(m); err != nil {
			t.Fatal(err)
		}
		if want := modelRewrite(t, rules, to); !slices.Equal(slices.Sorted(slices.Values(recipients(m))), want) {
			t.Fatalf("rules %+v\nto %q\ngot %q, want %q", rules, to, recipients(m), want)
		}
		for _, p := range people {
			if !slices.Contains(shown, p) && strings.Contains(string(m.Header), p) {
				t.Fatalf("rules %+v\nto %q shows %s:\n%s", rules, to, p, m.Header)
			}
		}
		if strings.Count(string(m.Header), "[t]") > 1 {
			t.Fatalf("prefix twice:\n%s", m.Header)
		}
	}
}

// modelRewrite does with sets what rules do with envelopes.
func modelRewrite(t *testing.T, rules []Rewrite, to []string) []string {
	set := map[string]bool{}
	for _, s := range to {
		set[s] = true
	}
	for _, r := range rules {
		p, err := compileAddresses(r.To)
		if err != nil {
			t.Fatal(err)
		}
		next, matched := map[string]bool{}, false
		for s := range set {
			switch holds := p == nil || p.ok([]string{s}); {
			case holds && len(r.RedirectTo) > 0:
				matched = true
				for _, target := range r.RedirectTo {
					next[target] = true
				}
			default:
				matched = matched || holds
				next[s] = true
			}
		}
		for _, s := range r.AddBcc {
			if matched {
				next[s] = true
			}
		}
		set = next
	}
	var out []string
	for s := range set {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// FuzzRewrite looks that all fields which rules do not name keep their bytes.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte(rewriteHeader), "[t]", "value", "bob@y.org")
	f.Add([]byte("Subject: =?utf-8?q?=C3=A9?=\n\tx\nTo: <bob@y.org>\n"), "é", "ü <a@b.c>", "bob@y.org")
	f.Add([]byte("no field\r\nX-B"), "", "", "")
	f.Fuzz(func(t *testing.T, header []byte, prefix, value, to string) {
		table, err := CompileRewrites([]Rewrite{{
			SubjectPrefix: prefix, SetHeader: map[string]string{"X-Set": value}, AddHeader: map[string][]string{"X-Add": {value}}, RemoveHeader: []string{"X-Gone*"},
			SetFrom: mime.Address{Name: prefix, Addr: "app@z.org"}, RedirectTo: []string{"qa@z.org"}, AddBcc: []string{"arc@z.org"},
		}}, "gw.test")
		if err != nil {
			return
		}
		m := rewriteMail(string(header), "", to)
		if err := table.Apply(m); err != nil {
			t.Fatal(err)
		}
		if got := recipients(m); !slices.Equal(got, []string{"qa@z.org", "arc@z.org"}) {
			t.Errorf("recipients %q", got)
		}
		if got := mime.ParseHeader(m.Header).Values("X-Original-To"); len(got) > 0 && !bytes.Contains(bytes.ToLower(header), []byte(strings.ToLower(strings.Split(to, "@")[0]))) {
			t.Errorf("X-Original-To: %q, which the header does not show", got)
		}
		if diff := cmp.Diff(untouched(header), untouched(m.Header)); diff != "" {
			t.Errorf("header (-old +new):\n%s", diff)
		}
	})
}

// untouched returns the fields that the rule of FuzzRewrite does not name, without their last line end.
func untouched(header []byte) []string {
	var list []string
	for _, f := range mime.ParseHeader(header) {
		switch name := strings.ToLower(f.Name); {
		case slices.Contains([]string{"subject", "x-set", "x-add", "from", "sender", "x-original-to"}, name), strings.HasPrefix(name, "x-gone"):
		default:
			list = append(list, strings.TrimRight(string(f.Raw), "\r\n"))
		}
	}
	return list
}
