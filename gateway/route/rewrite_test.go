package route

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

const rewriteHeader = "From: Ann <ann@x.org>\r\nSender: sec@x.org\r\nTo: bob@y.org, \"Cee\"\r\n <cee@y.org>\r\nSubject: hi\r\nX-A: 1\r\nX-A:  2\r\n\r\n"

func rewriteMail(header, from string, to ...string) *Mail {
	env := &envelope.Envelope{From: from}
	for _, t := range to {
		env.To = append(env.To, envelope.Recipient{Address: t})
	}
	return &Mail{Envelope: env, Header: []byte(header), Size: int64(len(header))}
}

func compileRewrites(t testing.TB, rules ...Rewrite) *Rewrites {
	t.Helper()
	table, err := CompileRewrites(rules, "gw.test")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func recipients(m *Mail) []string {
	var list []string
	for _, r := range m.Envelope.To {
		list = append(list, r.Address)
	}
	return list
}

func TestRewriteHeader(t *testing.T) {
	for name, tc := range map[string]struct {
		rules    []Rewrite
		header   string // "" is rewriteHeader
		old, new string // what becomes of it; all else stays
	}{
		"remove":                 {rules: []Rewrite{{RemoveHeader: []string{"x-a"}}}, old: "X-A: 1\r\nX-A:  2\r\n"},
		"remove by prefix":       {rules: []Rewrite{{RemoveHeader: []string{"X-*"}}}, old: "X-A: 1\r\nX-A:  2\r\n"},
		"set":                    {rules: []Rewrite{{SetHeader: map[string]string{"X-A": "3"}}}, old: "X-A: 1\r\nX-A:  2\r\n", new: "X-A: 3\r\n"},
		"set a new one":          {rules: []Rewrite{{SetHeader: map[string]string{"X-B": "é"}}}, old: "X-A:  2\r\n", new: "X-A:  2\r\nX-B: =?utf-8?b?w6k=?=\r\n"},
		"add":                    {rules: []Rewrite{{AddHeader: map[string][]string{"X-A": {"3", "4"}}}}, old: "X-A:  2\r\n", new: "X-A:  2\r\nX-A: 3\r\nX-A: 4\r\n"},
		"remove, then set":       {rules: []Rewrite{{RemoveHeader: []string{"X-A"}, SetHeader: map[string]string{"X-A": "3"}}}, old: "X-A: 1\r\nX-A:  2\r\n", new: "X-A: 3\r\n"},
		"From keeps its name":    {rules: []Rewrite{{SetFrom: mime.Address{Addr: "app@z.org"}}}, old: "From: Ann <ann@x.org>\r\nSender: sec@x.org\r\n", new: "From: Ann <app@z.org>\r\n"},
		"From with a name":       {rules: []Rewrite{{SetFrom: mime.Address{Name: "App", Addr: "app@z.org"}}}, old: "From: Ann <ann@x.org>\r\nSender: sec@x.org\r\n", new: "From: App <app@z.org>\r\n"},
		"From and Sender":        {rules: []Rewrite{{SetFrom: mime.Address{Addr: "app@z.org"}, SetHeader: map[string]string{"sender": "s@z.org"}}}, old: "From: Ann <ann@x.org>\r\nSender: sec@x.org\r\n", new: "From: Ann <app@z.org>\r\nsender: s@z.org\r\n"},
		"prefix":                 {rules: []Rewrite{{SubjectPrefix: "[t]"}}, old: "Subject: hi\r\n", new: "Subject: [t] hi\r\n"},
		"prefix with space":      {rules: []Rewrite{{SubjectPrefix: "[t] "}}, old: "Subject: hi\r\n", new: "Subject: [t] hi\r\n"},
		"prefix twice":           {rules: []Rewrite{{SubjectPrefix: "[t]"}, {SubjectPrefix: "[T]"}}, old: "Subject: hi\r\n", new: "Subject: [t] hi\r\n"},
		"prefix is there":        {rules: []Rewrite{{SubjectPrefix: "[t]"}}, header: "Subject:   [T]  hi\r\n\r\n"},
		"prefix in a reply":      {rules: []Rewrite{{SubjectPrefix: "[t]"}}, header: "Subject: Re: AW[2]: [t] hi\r\n\r\n"},
		"prefix is a word":       {rules: []Rewrite{{SubjectPrefix: "hi"}}, header: "Subject: oh hi\r\n\r\n", old: "oh", new: "hi oh"},
		"prefix, no subject":     {rules: []Rewrite{{SubjectPrefix: "[t]"}}, header: "X: y\r\n\r\n", old: "X: y\r\n", new: "X: y\r\nSubject: [t]\r\n"},
		"prefix, encoded":        {rules: []Rewrite{{SubjectPrefix: "[t]"}}, header: "Subject: =?utf-8?q?=C3=A9?=\r\n =?utf-8?q?_e?=\r\n\r\n", old: "=?utf-8?q?=C3=A9?=\r\n =?utf-8?q?_e?=", new: "[t] =?utf-8?q?=C3=A9?= =?utf-8?q?_e?="},
		"prefix is encoded":      {rules: []Rewrite{{SubjectPrefix: "[t]"}}, header: "Subject: =?utf-8?q?=5Bt=5D_=C3=A9?=\r\n\r\n"},
		"prefix to be encoded":   {rules: []Rewrite{{SubjectPrefix: "ü"}}, header: "Subject: =?utf-8?q?=C3=A9?= a\r\n\r\n", old: "=?utf-8?q?=C3=A9?= a", new: "=?utf-8?b?w7wgw6k=?= a"},
		"prefix before raw text": {rules: []Rewrite{{SubjectPrefix: "[t]"}}, header: "Subject: é\r\n\r\n", old: "é", new: "[t] =?utf-8?b?w6k=?="},
		"prefix to a set one":    {rules: []Rewrite{{SubjectPrefix: "[t]", SetHeader: map[string]string{"subject": "new"}}}, old: "Subject: hi\r\n", new: "Subject: [t] new\r\n"},
		"LF":                     {rules: []Rewrite{{AddHeader: map[string][]string{"X-B": {"1"}}}}, header: "A: b\n\n", old: "A: b\n", new: "A: b\nX-B: 1\n"},
		"in order": {rules: []Rewrite{
			{SubjectPrefix: "one"}, {Match: Match{Subject: []string{"one *"}}, SetHeader: map[string]string{"X-A": "seen"}},
			{Match: Match{Header: map[string][]string{"X-A": {"2"}}}, RemoveHeader: []string{"Subject"}},
		}, old: "Subject: hi\r\nX-A: 1\r\nX-A:  2\r\n", new: "Subject: one hi\r\nX-A: seen\r\n"},
		"no match":         {rules: []Rewrite{{Match: Match{From: []string{"*@z.org"}}, SubjectPrefix: "no"}}},
		"one of two hold":  {rules: []Rewrite{{Match: Match{To: []string{"cee@*"}}, SubjectPrefix: "[t]"}}, old: "hi", new: "[t] hi"},
		"no recipient":     {rules: []Rewrite{{Match: Match{To: []string{"dee@*"}}, SubjectPrefix: "[t]"}}},
		"size":             {rules: []Rewrite{{Match: Match{MinSize: 10, MaxSize: 1000}, SubjectPrefix: "[t]"}, {Match: Match{MinSize: 1000}, SubjectPrefix: "no"}}, old: "hi", new: "[t] hi"},
		"of the null send": {rules: []Rewrite{{Match: Match{HeaderFrom: []string{"ann@x.org"}, From: []string{"!<>"}}, SubjectPrefix: "[t]"}}, old: "hi", new: "[t] hi"},
	} {
		t.Run(name, func(t *testing.T) {
			header := tc.header
			if header == "" {
				header = rewriteHeader
			}
			m := rewriteMail(header, "ann@x.org", "bob@y.org", "cee@y.org")
			if err := compileRewrites(t, tc.rules...).Apply(m); err != nil {
				t.Fatal(err)
			}
			if tc.old != "" && !strings.Contains(header, tc.old) {
				t.Fatalf("%q is not in the header", tc.old)
			}
			want := header
			if tc.old != "" {
				want = strings.Replace(header, tc.old, tc.new, 1)
			}
			if diff := cmp.Diff(want, string(m.Header)); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"bob@y.org", "cee@y.org"}, recipients(m)); diff != "" || m.Envelope.From != "ann@x.org" || len(m.Copies) > 0 || m.Redirected {
				t.Errorf("envelope from %q, to %s", m.Envelope.From, diff)
			}
		})
	}
}

func TestRewriteEnvelope(t *testing.T) {
	for name, tc := range map[string]struct {
		rules    []Rewrite
		from     string
		to       []envelope.Recipient
		wantFrom string
		want     []envelope.Recipient
		copies   []string
		told     string // X-Original-To
	}{
		"sender":      {rules: []Rewrite{{SetEnvelopeFrom: "b@z.org"}}, from: "ann@x.org", wantFrom: "b@z.org", to: []envelope.Recipient{{Address: "bob@y.org"}}, want: []envelope.Recipient{{Address: "bob@y.org"}}},
		"null sender": {rules: []Rewrite{{SetEnvelopeFrom: "b@z.org"}}, to: []envelope.Recipient{{Address: "bob@y.org"}}, want: []envelope.Recipient{{Address: "bob@y.org"}}},
		"redirect all": {rules: []Rewrite{{RedirectTo: []string{"qa@z.org"}}},
			to:   []envelope.Recipient{{Address: "BOB@y.org", Notify: []string{"FAILURE"}, ORcpt: "rfc822;bob@y.org"}, {Address: "hidden@y.org"}, {Address: "cee@y.org"}},
			want: []envelope.Recipient{{Address: "qa@z.org", Given: "BOB@y.org", Notify: []string{"FAILURE"}}}, told: "bob@y.org, cee@y.org"},
		"redirect hidden ones": {rules: []Rewrite{{RedirectTo: []string{"qa@z.org"}}}, to: []envelope.Recipient{{Address: "hidden@y.org"}},
			want: []envelope.Recipient{{Address: "qa@z.org", Given: "hidden@y.org"}}},
		"redirect those that match": {rules: []Rewrite{{Match: Match{To: []string{"!*@y.org"}}, RedirectTo: []string{"qa@z.org", "ops@z.org"}}},
			to:   []envelope.Recipient{{Address: "bob@y.org"}, {Address: "a@w.org"}, {Address: "b@w.org"}},
			want: []envelope.Recipient{{Address: "bob@y.org"}, {Address: "qa@z.org", Given: "a@w.org"}, {Address: "ops@z.org", Given: "a@w.org"}}},
		"redirect to a recipient": {rules: []Rewrite{{RedirectTo: []string{"CEE@y.org"}}}, to: []envelope.Recipient{{Address: "cee@y.org", ORcpt: "x"}, {Address: "dee@y.org"}},
			want: []envelope.Recipient{{Address: "cee@y.org", ORcpt: "x"}}},
		"redirect an alias": {rules: []Rewrite{{RedirectTo: []string{"qa@z.org"}}}, to: []envelope.Recipient{{Address: "p@w.org", Given: "Cee@y.org"}, {Address: "q@w.org", Given: "Cee@y.org"}},
			want: []envelope.Recipient{{Address: "qa@z.org", Given: "Cee@y.org"}}, told: "cee@y.org"},
		"redirect twice": {rules: []Rewrite{{RedirectTo: []string{"qa@z.org"}}, {Match: Match{To: []string{"qa@*"}}, RedirectTo: []string{"ops@z.org"}}}, to: []envelope.Recipient{{Address: "bob@y.org"}},
			want: []envelope.Recipient{{Address: "ops@z.org", Given: "bob@y.org"}}, told: "bob@y.org"},
		"copy": {rules: []Rewrite{{AddBcc: []string{"arc@z.org"}}, {AddBcc: []string{"ARC@z.org", "bob@y.org"}}}, to: []envelope.Recipient{{Address: "bob@y.org"}},
			want: []envelope.Recipient{{Address: "bob@y.org"}, {Address: "arc@z.org", Notify: []string{"NEVER"}}}, copies: []string{"arc@z.org"}},
		"copy, then redirect": {rules: []Rewrite{{AddBcc: []string{"arc@z.org"}}, {RedirectTo: []string{"qa@z.org"}}}, to: []envelope.Recipient{{Address: "bob@y.org"}},
			want: []envelope.Recipient{{Address: "qa@z.org", Given: "bob@y.org"}}, told: "bob@y.org"},
		"the copy is redirected": {rules: []Rewrite{{AddBcc: []string{"arc@z.org"}}, {Match: Match{To: []string{"arc@*"}}, RedirectTo: []string{"qa@z.org"}}}, to: []envelope.Recipient{{Address: "bob@y.org"}},
			want: []envelope.Recipient{{Address: "bob@y.org"}, {Address: "qa@z.org", Given: "arc@z.org", Notify: []string{"NEVER"}}}, copies: []string{"qa@z.org"}},
		"a recipient is redirected to the copy": {rules: []Rewrite{{AddBcc: []string{"arc@z.org"}}, {Match: Match{To: []string{"*@z.org"}}, RedirectTo: []string{"qa@z.org"}}, {Match: Match{To: []string{"bob@*"}}, RedirectTo: []string{"qa@z.org"}}},
			to: []envelope.Recipient{{Address: "bob@y.org"}}, want: []envelope.Recipient{{Address: "qa@z.org", Given: "bob@y.org"}}, told: "bob@y.org"},
		"redirect and copy": {rules: []Rewrite{{RedirectTo: []string{"qa@z.org"}, AddBcc: []string{"arc@z.org"}}}, to: []envelope.Recipient{{Address: "bob@y.org"}},
			want: []envelope.Recipient{{Address: "qa@z.org", Given: "bob@y.org"}, {Address: "arc@z.org", Notify: []string{"NEVER"}}}, copies: []string{"arc@z.org"}, told: "bob@y.org"},
	} {
		t.Run(name, func(t *testing.T) {
			given := slices.Clone(tc.to)
			m := &Mail{Envelope: &envelope.Envelope{From: tc.from, To: tc.to}, Header: []byte(rewriteHeader)}
			if err := compileRewrites(t, tc.rules...).Apply(m); err != nil {
				t.Fatal(err)
			}
			if m.Envelope.From != tc.wantFrom {
				t.Errorf("from %q", m.Envelope.From)
			}
			if diff := cmp.Diff(tc.want, m.Envelope.To); diff != "" {
				t.Errorf("recipients (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(given, tc.to); diff != "" {
				t.Errorf("the caller's recipients were changed:\n%s", diff)
			}
			var copies []string
			for c := range m.Copies {
				copies = append(copies, c)
			}
			if diff := cmp.Diff(tc.copies, copies); diff != "" {
				t.Errorf("copies (-want +got):\n%s", diff)
			}
			if told := mime.ParseHeader(m.Header).Get("X-Original-To"); told != tc.told {
				t.Errorf("X-Original-To: %s, want %q", told, tc.told)
			}
		})
	}
}

func TestRewriteExplain(t *testing.T) {
	table := compileRewrites(t,
		Rewrite{Name: "staging", Match: Match{To: []string{"!*@z.org"}}, RedirectTo: []string{"qa@z.org"}, SubjectPrefix: "[s]"},
		Rewrite{Match: Match{From: []string{"*@w.org"}, To: []string{"bob@*"}}, SetEnvelopeFrom: "b@z.org", SetFrom: mime.Address{Addr: "b@z.org"}},
		Rewrite{AddBcc: []string{"arc@z.org", "qa@z.org"}, AddHeader: map[string][]string{"X-B": {"1"}}, SetHeader: map[string]string{"X-A": "2"}, RemoveHeader: []string{"X-*"}, SubjectPrefix: "[s]", SetEnvelopeFrom: "b@z.org"},
		Rewrite{SetFrom: mime.Address{Name: "B", Addr: "b@z.org"}},
	)
	m := rewriteMail(rewriteHeader, "", "bob@y.org", "a@v.org", "b@v.org", "c@v.org", "d@z.org")
	got, err := table.Explain(m)
	if err != nil {
		t.Fatal(err)
	}
	want := []RewriteVerdict{
		{Verdict: Verdict{Name: "staging", Matched: true, Why: []string{
			`to = "bob@y.org" is not excluded by ["!*@z.org"]`, `to = "a@v.org" is not excluded by ["!*@z.org"]`, `to = "b@v.org" is not excluded by ["!*@z.org"]`, "and so for 1 further recipients",
		}}, Changes: []string{
			`Subject becomes "[s] hi"`, "recipient bob@y.org becomes qa@z.org", "recipient a@v.org becomes qa@z.org", "recipient b@v.org becomes qa@z.org", "recipient c@v.org becomes qa@z.org", `add X-Original-To: "bob@y.org"`,
		}},
		{Verdict: Verdict{Rule: 1, Name: "rewrite 2", Why: []string{`from = "" matches none of ["*@w.org"]`, `to = "qa@z.org" matches none of ["bob@*"]`, `to = "d@z.org" matches none of ["bob@*"]`}}},
		{Verdict: Verdict{Rule: 2, Name: "rewrite 3", Matched: true}, Changes: []string{
			"remove X-*", `set X-A: "2"`, `add X-B: "1"`, `the subject has the prefix "[s]"`, "the null sender stays", "copy to arc@z.org", "qa@z.org gets it already",
		}},
		{Verdict: Verdict{Rule: 3, Name: "rewrite 4", Matched: true}, Changes: []string{"From becomes B <b@z.org>", "remove Sender"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	other := rewriteMail(rewriteHeader, "", "bob@y.org", "a@v.org", "b@v.org", "c@v.org", "d@z.org")
	if err := table.Apply(other); err != nil || !bytes.Equal(other.Header, m.Header) || !slices.Equal(recipients(other), recipients(m)) {
		t.Errorf("Apply and Explain differ: %v", err)
	}
}

func TestMayRedirect(t *testing.T) {
	table := compileRewrites(t,
		Rewrite{Match: Match{To: []string{"*@y.org"}, Subject: []string{"x"}}, RedirectTo: []string{"qa@z.org"}},
		Rewrite{Match: Match{From: []string{"app@*"}, To: []string{"nobody@*"}}, SetEnvelopeFrom: "qa@z.org"},
		Rewrite{AddBcc: []string{"arc@z.org"}, SubjectPrefix: "[t]"},
	)
	for _, tc := range []struct {
		from, to string
		want     bool
	}{{"ann@x.org", "bob@y.org", true}, {"ann@x.org", "bob@w.org", false}, {"app@x.org", "bob@w.org", true}} {
		if got := table.MayRedirect(&Input{Envelope: &envelope.Envelope{From: tc.from}, To: tc.to}); got != tc.want {
			t.Errorf("%s to %s: %v", tc.from, tc.to, got)
		}
	}
	if table.NeedSize() || !compileRewrites(t, Rewrite{Match: Match{MaxSize: 1}, SubjectPrefix: "x"}).NeedSize() {
		t.Error("sizes")
	}
}

func TestRewriteErrors(t *testing.T) {
	_, err := CompileRewrites([]Rewrite{{Name: "none"}, {AddHeader: map[string][]string{"Bcc": {"x@y.org"}}}}, "gw.test")
	var ke *KeyError
	if !errors.As(err, &ke) || ke.Rule != 0 || !strings.Contains(err.Error(), "rule 2: add_header.Bcc is not written by rules") {
		t.Errorf("%v", err)
	}
}
