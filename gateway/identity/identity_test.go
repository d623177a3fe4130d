package identity

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

func newIdentity(t *testing.T, defaultFrom string) *Identity {
	t.Helper()
	id, err := New("example.com", "app1.example.com", defaultFrom)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var moment = time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))

func TestNew(t *testing.T) {
	id := newIdentity(t, "App <noreply@example.com>")
	if id.DefaultFrom != (mime.Address{Name: "App", Addr: "noreply@example.com"}) {
		t.Errorf("%+v", id.DefaultFrom)
	}
	for _, bad := range []string{"nobody", "a@b@c", "a@-x", "a@[10.0.0.1]"} {
		if _, err := New("example.com", "h", bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSplitAndQualify(t *testing.T) {
	id := newIdentity(t, "")
	tests := []struct{ addr, local, domain, qualified string }{
		{"", "", "", ""},
		{"root", "root", "", "root@example.com"},
		{"root@", "root", "", "root@example.com"},
		{"ann@x.org", "ann", "x.org", "ann@x.org"},
		{`"a@b"`, `"a@b"`, "", "a@b"},
		{`"a b@c"`, `"a b@c"`, "", `"a b@c"`},
		{"a..b", "a..b", "", `"a..b"@example.com`},
		{`"a@b"@x.org`, `"a@b"`, "x.org", `"a@b"@x.org`},
		{`"a\"@b"@x.org`, `"a\"@b"`, "x.org", `"a\"@b"@x.org`},
		{`"open@x.org`, `"open@x.org`, "", `"open@x.org`},
	}
	for _, tc := range tests {
		local, domain, _ := mime.SplitAddress(tc.addr)
		if local != tc.local || domain != tc.domain || id.Qualify(tc.addr) != tc.qualified {
			t.Errorf("%q: %q %q %q", tc.addr, local, domain, id.Qualify(tc.addr))
		}
	}
}

func TestComplete(t *testing.T) {
	env := &envelope.Envelope{From: "ann@x.org"}
	tests := []struct {
		name        string
		defaultFrom string
		env         *envelope.Envelope
		header      string
		want        string
	}{
		{"complete", "", env, "From: ann@x.org\r\nDate: today\r\nMessage-ID: <1@x>\r\nTo:  Bob  <bob@x.org>\r\n",
			"From: ann@x.org\r\nDate: today\r\nMessage-ID: <1@x>\r\nTo:  Bob  <bob@x.org>\r\n"},
		{"nothing there", "", env, "Subject: x\r\n",
			"Subject: x\r\nDate: Wed, 04 Mar 2026 05:06:07 +0100\r\nFrom: ann@x.org\r\nMessage-ID: <q1@app1.example.com>\r\n"},
		{"empty fields", "App <app@example.com>", env, "From:\r\nDate: \r\nMessage-Id:\r\n\r\n",
			"From: \"App\" <app@example.com>\r\nDate: Wed, 04 Mar 2026 05:06:07 +0100\r\nMessage-ID: <q1@app1.example.com>\r\n\r\n"},
		{"bare sender", "", &envelope.Envelope{From: "root"}, "Date: d\r\nMessage-ID: <1@x>\r\n",
			"Date: d\r\nMessage-ID: <1@x>\r\nFrom: root@example.com\r\n"},
		{"null sender", "", &envelope.Envelope{}, "Date: d\r\nMessage-ID: <1@x>\r\n",
			"Date: d\r\nMessage-ID: <1@x>\r\nFrom: postmaster@example.com\r\n"},
		{"Bcc", "", env, "From: a@b\r\nbcc : secret@x.org,\r\n other@x.org\r\nDate: d\r\nResent-Bcc: y@x.org\r\nMessage-ID: <1@x>\r\nBcc: z@x.org\r\n",
			"From: a@b\r\nDate: d\r\nMessage-ID: <1@x>\r\n"},
		{"cron", "", env, "From: root (Cron Daemon)\r\nTo: root, ann@x.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n",
			"From: root@example.com (Cron Daemon)\r\nTo: root@example.com, ann@x.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n"},
		{"half of a name", "", env, "From: a@b\r\nTo: Doé, Ann <ann@x.org>\r\nDate: d\r\nMessage-ID: <1@x>\r\n",
			"From: a@b\r\nTo: Doé, Ann <ann@x.org>\r\nDate: d\r\nMessage-ID: <1@x>\r\n"},
		{"several To", "", env, "From: a@b\r\nTo: root\r\nTo: bob\r\nDate: d\r\nMessage-ID: <1@x>\r\n",
			"From: a@b\r\nTo: root@example.com\r\nTo: bob@example.com\r\nDate: d\r\nMessage-ID: <1@x>\r\n"},
		{"several To and Cc, some complete", "", env, "From: a@b\r\nTo: x@y\r\n  (as it is)\r\nCc: root\r\nTo: Bob <bob>, ann@x.org\r\nDate: d\r\nCc:\r\nMessage-ID: <1@x>\r\n",
			"From: a@b\r\nTo: x@y\r\n  (as it is)\r\nCc: root@example.com\r\nTo: Bob <bob@example.com>, ann@x.org\r\nDate: d\r\nCc:\r\nMessage-ID: <1@x>\r\n"},
		{"all fields", "", env, "From: a\r\nSender: b\r\nReply-To: c\r\nCc: d\r\nDate: d\r\nMessage-ID: <1@x>\r\n",
			"From: a@example.com\r\nSender: b@example.com\r\nReply-To: c@example.com\r\nCc: d@example.com\r\nDate: d\r\nMessage-ID: <1@x>\r\n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			id := newIdentity(t, tc.defaultFrom)
			raw := []byte(tc.header)
			edits := id.Complete(mime.ParseHeader(raw), tc.env, "q1", moment)
			got := string(mime.EditHeader(raw, edits...))
			got = strings.ReplaceAll(got, "From: App <", `From: "App" <`) // both are right
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestQualifyList(t *testing.T) {
	tests := []struct{ list, want string }{
		{"root", "root@D"},
		{" root ", " root@D "},
		{"root, ann@x.org,bob", "root@D, ann@x.org,bob@D"},
		{"root (Cron Daemon)", "root@D (Cron Daemon)"},
		{"(a, (b) \\) c) root", "(a, (b) \\) c) root@D"},
		{"Cron Daemon <root>", "Cron Daemon <root@D>"},
		{`"Daemon, Cron" < root >`, `"Daemon, Cron" < root@D >`},
		{"<root (x > y)>", "<root@D (x > y)>"},
		{"<>", "<>"}, {"", ""}, {",,", ",,"},
		{"Ann <ann@x.org>", "Ann <ann@x.org>"},
		{"<@relay,@b:ann@x.org>", "<@relay,@b:ann@x.org>"},
		{`"a b"`, `"a b"@D`}, {`"a b"@x.org`, `"a b"@x.org`},
		{"friends: ann, bob@x.org; carl", "friends: ann@D, bob@x.org; carl@D"},
		{"undisclosed-recipients:;", "undisclosed-recipients:;"},
		{"two words", "two words"},
		{"first.last", "first.last@D"},
		{"ann @ x.org", "ann @ x.org"},
		{"ann@ x.org", "ann@ x.org"},
		{"<open", "<open"}, {"(open", "(open"}, {`"open`, `"open`},
		{"<<root>>", "<<root>>"}, {"<<a@b>>", "<<a@b>>"},
		{`"a@b"`, "a@b"}, {`Ann <"a@b">, c`, "Ann <a@b>, c@D"}, {`g: "a@b" (c);`, `g: a@b (c);`}, {`"a b@c"`, `"a b@c"`},
		{"x\xff", "x\xff"},
	}
	for _, tc := range tests {
		if got := (&Identity{Domain: "D"}).qualifyList(tc.list); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.list, got, tc.want)
		}
	}
}

func FuzzQualifyList(f *testing.F) {
	for _, s := range []string{`a, "b" <c>, (d) e; f: g`, `"\`, `(\`, "<("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := (&Identity{Domain: "D"}).qualifyList(s)
		if strings.Contains(s, `"`) && strings.Contains(s, "@") {
			return // may lose quotes
		}
		if strings.ReplaceAll(got, "@D", "") != strings.ReplaceAll(s, "@D", "") {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestReceived(t *testing.T) {
	one := []envelope.Recipient{{Address: "bob@x.org"}}
	tests := []struct {
		name string
		env  envelope.Envelope
		want string
	}{
		{"all", envelope.Envelope{To: one, Client: envelope.Client{Addr: netip.MustParseAddr("::ffff:10.0.0.1"), Helo: "printer", Protocol: "ESMTPS"}},
			"from printer ([10.0.0.1]) by host (mailhatch) with ESMTPS id q1 for <bob@x.org>; Wed, 04 Mar 2026 05:06:07 +0100"},
		{"v6", envelope.Envelope{To: one, Client: envelope.Client{Addr: netip.MustParseAddr("fe80::1%eth0"), Protocol: "SMTP"}},
			"from unknown ([IPv6:fe80::1]) by host (mailhatch) with SMTP id q1 for <bob@x.org>; Wed, 04 Mar 2026 05:06:07 +0100"},
		{"several recipients", envelope.Envelope{To: append(one, one...)},
			"by host (mailhatch) id q1; Wed, 04 Mar 2026 05:06:07 +0100"},
		{"as given", envelope.Envelope{To: []envelope.Recipient{{Address: "ops@x.org", Given: "root@x.org"}}},
			"by host (mailhatch) id q1 for <root@x.org>; Wed, 04 Mar 2026 05:06:07 +0100"},
		{"hostile", envelope.Envelope{To: []envelope.Recipient{{Address: "a>\r\nX: y"}}, Client: envelope.Client{Helo: "a) by evil; (é\r\nX:y" + strings.Repeat("z", 300)}},
			"from a??by?evil???????X:y" + strings.Repeat("z", 232) + " by host (mailhatch) id q1; Wed, 04 Mar 2026 05:06:07 +0100"},
	}
	for _, tc := range tests {
		got := Received(&tc.env, "host", "q1", moment)
		if got.Op != mime.Prepend || got.Name != "Received" {
			t.Errorf("%+v", got)
		}
		value := got.Value
		if tc.name == "hostile" {
			if strings.ContainsAny(strings.SplitN(value, " by host ", 2)[0], "();\r\n\"\\") || strings.Contains(value, " for ") {
				t.Errorf("hostile: %q", value)
			}
			continue
		}
		if value != tc.want {
			t.Errorf("%s:\n%s\n%s", tc.name, value, tc.want)
		}
	}
}

func TestHops(t *testing.T) {
	if n := Hops(mime.ParseHeader([]byte("Received: a\r\nX: y\r\nreceived: b\r\n c\r\nReceivedX: d\r\n"))); n != 2 {
		t.Error(n)
	}
}

func TestKeyError(t *testing.T) {
	if got := (&KeyError{Key: "root", Problem: "is missing"}).Error(); got != "root is missing" {
		t.Error(got)
	}
}

func parse(t *testing.T, header string) *mime.Message {
	t.Helper()
	m, err := mime.Parse(strings.NewReader(header + "\r\nbody\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSenderPolicy(t *testing.T) {
	tests := []struct {
		name     string
		domains  []string
		rewrite  string
		from     string
		header   string
		wantFrom string
		want     string
	}{
		{"allowed", []string{"example.com"}, "App <noreply@example.com>", "ann@EXAMPLE.com", "From: Ann <Ann@Example.com>\r\n", "ann@EXAMPLE.com", "From: Ann <Ann@Example.com>\r\n"},
		{"other spelling", []string{"xn--bcher-kva.example"}, "noreply@xn--bcher-kva.example", "ann@bücher.example", "From: ann@BÜCHER.example\r\n", "ann@bücher.example", "From: ann@BÜCHER.example\r\n"},
		{"subdomain is another", []string{"example.com"}, "noreply@example.com", "ann@a.example.com", "From: ann@a.example.com\r\n",
			"noreply@example.com", "From: noreply@example.com\r\nReply-To: ann@a.example.com\r\nX-Original-From: ann@a.example.com\r\n"},
		{"subdomain glob", []string{"example.com", "*.example.com"}, "noreply@example.com", "ann@a.b.example.com", "From: ann@a.example.com\r\n",
			"ann@a.b.example.com", "From: ann@a.example.com\r\n"},
		{"glob is not the domain", []string{"*.example.com"}, "noreply@a.example.com", "ann@example.com", "From: ann@b.example.com\r\n",
			"noreply@a.example.com", "From: ann@b.example.com\r\n"},
		{"rewritten", []string{"example.com"}, "App <noreply@example.com>", "ann@x.org", "From: Ann <ann@x.org>\r\nSender: s@x.org\r\nSubject: s\r\n",
			"noreply@example.com", "From: Ann via App <noreply@example.com>\r\nSubject: s\r\nReply-To: Ann <ann@x.org>\r\nX-Original-From: Ann <ann@x.org>\r\n"},
		{"name kept", nil, "noreply@example.com", "ann@x.org", "From: Ann <ann@x.org>\r\n",
			"noreply@example.com", "From: Ann <noreply@example.com>\r\nReply-To: Ann <ann@x.org>\r\nX-Original-From: Ann <ann@x.org>\r\n"},
		{"reply-to kept", nil, "App <noreply@example.com>", "ann@x.org", "From: ann@x.org\r\nReply-To: r@x.org\r\n",
			"noreply@example.com", "From: App <noreply@example.com>\r\nReply-To: r@x.org\r\nX-Original-From: ann@x.org\r\n"},
		{"null sender", nil, "App <noreply@example.com>", "", "From: MAILER-DAEMON@x.org\r\n",
			"", "From: App <noreply@example.com>\r\nReply-To: MAILER-DAEMON@x.org\r\nX-Original-From: MAILER-DAEMON@x.org\r\n"},
		{"own address", nil, "App <noreply@example.com>", "noreply@example.com", "From: x <NoReply@example.com>\r\n",
			"noreply@example.com", "From: x <NoReply@example.com>\r\n"},
		{"one of several", []string{"example.com"}, "App <noreply@example.com>", "ann@example.com", "From: a@example.com, b@x.org\r\n",
			"ann@example.com", "From: App <noreply@example.com>\r\nReply-To: a@example.com, b@x.org\r\nX-Original-From: a@example.com, b@x.org\r\n"},
		{"sender only", []string{"example.com"}, "App <noreply@example.com>", "ann@example.com", "From: a@example.com\r\nSender: s@x.org\r\n",
			"ann@example.com", "From: a@example.com\r\n"},
		{"sender allowed", []string{"example.com"}, "App <noreply@example.com>", "ann@x.org", "From: a@example.com\r\nSender: s@example.com\r\n",
			"noreply@example.com", "From: a@example.com\r\nSender: s@example.com\r\n"},
		{"no From", []string{"example.com"}, "App <noreply@example.com>", "ann@example.com", "Subject: s\r\n",
			"ann@example.com", "Subject: s\r\nFrom: App <noreply@example.com>\r\n"},
	}
	unquote := strings.NewReplacer(`"Ann via App"`, "Ann via App", `"App"`, "App", `"Ann"`, "Ann", "<ann@x.org>", "<ann@x.org>")
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p, err := NewSenderPolicy(tc.domains, tc.rewrite)
			if err != nil {
				t.Fatal(err)
			}
			from, edits := p.Apply(tc.from, parse(t, tc.header))
			if from != tc.wantFrom {
				t.Errorf("envelope sender %q, want %q", from, tc.wantFrom)
			}
			got := unquote.Replace(string(mime.EditHeader([]byte(tc.header), edits...)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			again, more := p.Apply(from, parse(t, string(mime.EditHeader([]byte(tc.header), edits...))))
			if again != from || len(more) != 0 {
				t.Errorf("a second time changes %q %v", again, more)
			}
		})
	}
}

func TestSenderPolicyErrors(t *testing.T) {
	tests := []struct {
		domains []string
		rewrite string
		keys    string
	}{
		{[]string{"exa mple"}, "nobody", "from_domains rewrite_from"},
		{[]string{"*.*.x"}, "a@x.org", "from_domains"},
		{[]string{"example.com"}, "a@x.org", "rewrite_from"},
		{nil, "", "rewrite_from"},
	}
	for _, tc := range tests {
		_, err := NewSenderPolicy(tc.domains, tc.rewrite)
		if err == nil {
			t.Errorf("%q %q were taken", tc.domains, tc.rewrite)
			continue
		}
		var keys []string
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			var ke *KeyError
			if errors.As(e, &ke) {
				keys = append(keys, ke.Key)
			}
		}
		if strings.Join(keys, " ") != tc.keys {
			t.Errorf("%q %q: %q", tc.domains, tc.rewrite, keys)
		}
	}
}

// TestSenderPolicyDomains: the forms in which domains are written elsewhere mean the same here.
func TestSenderPolicyDomains(t *testing.T) {
	p, err := NewSenderPolicy([]string{"@Example.com", "*@example.net", ".example.org"}, "app@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"ann@example.com": true, "ann@sub.example.com": false, "ann@example.net": true, "ann@example.org": false, "ann@a.example.org": true,
	} {
		if got := p.allowed(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// TestHostSenders: who takes the place of root@vm, where nothing but a name of the Internet is carried.
func TestHostSenders(t *testing.T) {
	for _, c := range []struct {
		domain, defaultFrom string
		from, header        string
		wantFrom, want      string
	}{
		{"example.com", "", "root@vm", "root <root@vm>", "root@example.com", "root <root@example.com>"},
		{"example.com", "App <noreply@x.example>", "root@vm", "root <root@vm>", "noreply@x.example", "root via App <noreply@x.example>"},
		{"vm", "App <noreply@x.example>", "root@vm", "root@vm", "noreply@x.example", "App <noreply@x.example>"},
		{"example.com", "", "ann@other.example", "ann@other.example", "ann@other.example", ""},
		{"example.com", "", "", "MAILER-DAEMON@vm", "", "MAILER-DAEMON@example.com"},
		{"example.com", "", "root@vm", "nobody at all", "root@example.com", "postmaster@example.com"},
	} {
		id, err := New(c.domain, "vm", c.defaultFrom)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mime.Parse(mime.NewBytesSource([]byte("From: " + c.header + "\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		from, edits := id.HostSenders().Apply(c.from, m)
		got := ""
		for _, e := range edits {
			if e.Name == "From" {
				got = e.Value
			}
		}
		if from != c.wantFrom || got != c.want {
			t.Errorf("%+v: %q and %q", c, from, got)
		}
	}
	if id, _ := New("vm", "vm", ""); id.HostSenders() != nil {
		t.Error("a name of a host takes the place of another")
	}
}
