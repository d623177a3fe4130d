package route

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

func TestMapSender(t *testing.T) {
	table := map[string]string{
		"*@app.internal": "*@example.com", "root@*": "ops@example.com", "root@db.app.internal": "dba@example.com",
		"*@*.app.internal": "*-*@example.com", "*@long.app.internal": "long@example.com", "?@app.internal": "one@example.com",
		"cron-*@app.internal": "cron@example.com",
	}
	for given, want := range map[string]string{
		"Ann.Lee@App.Internal":   "Ann.Lee@example.com",
		`"ann lee"@app.internal`: `"ann lee"@example.com`,
		"ann+x@web.app.internal": "ann+x-web@example.com",
		"ann@long.app.internal":  "long@example.com",
		"root@app.internal":      "ops@example.com",
		"ROOT@elsewhere.example": "ops@example.com",
		"root@DB.app.internal":   "dba@example.com",
		"x@app.internal":         "one@example.com",
		"cron-7@app.internal":    "cron@example.com",
		"ann@example.org":        "ann@example.org",
		"ann@app.internal.test":  "ann@app.internal.test",
		`"a@b"@web.app.internal`: `"a@b"@web.app.internal`, // its stars make no address
		"":                       "",
	} {
		header := "From: Ann <" + given + ">, \"B\" <b@example.org>\r\nSender: " + given + "\r\nReply-To: " + given + "\r\n\r\n"
		m := rewriteMail(header, given, "bob@y.org")
		if err := compileRewrites(t, Rewrite{MapSender: table}).Apply(m); err != nil {
			t.Fatal(err)
		}
		wantHeader := header
		if want != given {
			wantHeader = "From: Ann <" + want + ">, B <b@example.org>\r\nSender: " + want + "\r\nReply-To: " + given + "\r\n\r\n"
		}
		if m.Envelope.From != want || string(m.Header) != wantHeader {
			t.Errorf("%q becomes %q and\n%s", given, m.Envelope.From, m.Header)
		}
	}
}

// TestMapSenderBesideOthers: what a rule sets by name is not mapped.
func TestMapSenderBesideOthers(t *testing.T) {
	table := map[string]string{"*@x.org": "*@z.org"}
	for name, tc := range map[string]struct {
		rule                   Rewrite
		envelope, from, sender string
	}{
		"alone":             {Rewrite{}, "ann@z.org", "Ann <ann@z.org>", "sec@z.org"},
		"set_from":          {Rewrite{SetFrom: mime.Address{Addr: "app@w.org"}}, "ann@z.org", "Ann <app@w.org>", ""},
		"set_envelope_from": {Rewrite{SetEnvelopeFrom: "b@w.org"}, "b@w.org", "Ann <ann@z.org>", "sec@z.org"},
		"a Sender":          {Rewrite{SetHeader: map[string]string{"Sender": "s@x.org"}}, "ann@z.org", "Ann <ann@z.org>", "s@x.org"},
		"no Sender":         {Rewrite{RemoveHeader: []string{"Sender"}}, "ann@z.org", "Ann <ann@z.org>", ""},
	} {
		tc.rule.MapSender = table
		m := rewriteMail(rewriteHeader, "ann@x.org", "bob@y.org")
		if err := compileRewrites(t, tc.rule).Apply(m); err != nil {
			t.Fatal(err)
		}
		h := mime.ParseHeader(m.Header)
		if m.Envelope.From != tc.envelope || h.Get("From") != tc.from || h.Get("Sender") != tc.sender {
			t.Errorf("%s: envelope %q, header\n%s", name, m.Envelope.From, m.Header)
		}
	}
}

func TestTemplates(t *testing.T) {
	type fields = map[string]string
	client := envelope.Client{User: "uid:www", Listener: "127.0.0.1:25"}
	for name, tc := range map[string]struct {
		rule Rewrite
		want string // line of the header, or "MAIL …" or "RCPT …"
	}{
		"set_from by header_from": {Rewrite{Match: Match{HeaderFrom: []string{"*@x.org"}, From: []string{"a*@x.org"}}, SetFrom: mime.Address{Addr: "*@z.org"}}, "From: Ann <ann@z.org>"},
		"set_from by from":        {Rewrite{Match: Match{From: []string{"*@x.org"}}, SetFrom: mime.Address{Addr: "*@z.org"}}, "From: Ann <ann@z.org>"},
		"its name too":            {Rewrite{Match: Match{From: []string{"*@*"}}, SetFrom: mime.Address{Name: "{user} on {host}", Addr: "*@*.z.org"}}, `From: "www on gw.test" <ann@x.org.z.org>`},
		"set_envelope_from":       {Rewrite{Match: Match{From: []string{"*@x.org"}}, SetEnvelopeFrom: "bounce+*@z.org"}, "MAIL bounce+ann@z.org"},
		"the user's":              {Rewrite{SetEnvelopeFrom: "{user}@{host}"}, "MAIL www@gw.test"},
		"redirect_to":             {Rewrite{Match: Match{To: []string{"!cee@*", "*@y.org"}}, RedirectTo: []string{"*@z.org", "*.copy@z.org"}}, "RCPT bob@z.org bob.copy@z.org cee@y.org"},
		"the domain":              {Rewrite{Match: Match{To: []string{"*@*"}}, RedirectTo: []string{"*_at_*@qa.org"}}, "RCPT bob_at_y.org@qa.org cee_at_y.org@qa.org"},
		"not an address":          {Rewrite{Match: Match{Subject: []string{"*"}, To: []string{"*"}}, RedirectTo: []string{"*@z.org"}}, "RCPT bob@y.org cee@y.org"},
		"field by from":           {Rewrite{Match: Match{From: []string{"*@x.org"}, To: []string{"*@y.org"}}, SetHeader: fields{"X-B": "user *"}}, "X-B: user ann"},
		"field by to, the first":  {Rewrite{Match: Match{From: []string{"ann@x.org"}, To: []string{"c*@y.org", "zoe*"}}, SetHeader: fields{"X-B": "*"}}, "X-B: ee"},
		"field by subject":        {Rewrite{Match: Match{Subject: []string{"h*"}}, SetHeader: fields{"X-B": "*"}}, "X-B: i =?utf-8?b?w6k=?="},
		"field by header":         {Rewrite{Match: Match{Header: map[string][]string{"X-A": {"*2"}}}, SetHeader: fields{"X-B": "<*>"}}, "X-B: <a>"},
		"field by user":           {Rewrite{Match: Match{User: []string{"uid:*"}}, SetHeader: fields{"X-B": "*"}}, "X-B: www"},
		"the names":               {Rewrite{AddHeader: map[string][]string{"X-B": {"{user}, {host}, {listener}"}}}, "X-B: www, gw.test, 127.0.0.1:25"},
		"plain characters":        {Rewrite{SetHeader: fields{"X-B": `\*\*\* \{user} {"a": "{}"} \x \\`}}, `X-B: *** {user} {"a": "{}"} \x \`},
		"prefix":                  {Rewrite{SubjectPrefix: "*{host}*"}, "Subject: *gw.test* hi =?utf-8?q?=C3=A9?="},
		"a list of addresses":     {Rewrite{Match: Match{From: []string{"*"}}, SetHeader: fields{"Reply-To": "*, Ops <ops@z.org>"}}, "Reply-To: ann@x.org, Ops <ops@z.org>"},
		"no list of addresses":    {Rewrite{Match: Match{Subject: []string{"*"}}, SetHeader: fields{"Sender": "*"}}, "Sender: sec@x.org"},
		"a field stays one line":  {Rewrite{Match: Match{Header: map[string][]string{"X-Evil": {"*"}}}, SetHeader: fields{"X-B": "*"}}, "X-B: a X-Injected: 1"},
		"nothing to stand for":    {Rewrite{Match: Match{Header: map[string][]string{"X-Empty": {"*"}}}, SetHeader: fields{"Subject": "*"}}, "Subject: hi =?utf-8?q?=C3=A9?="},
	} {
		t.Run(name, func(t *testing.T) {
			header := "From: Ann <ann@x.org>\r\nSender: sec@x.org\r\nSubject: hi =?utf-8?q?=C3=A9?=\r\nX-A: a2\r\n" +
				"X-Evil: =?utf-8?q?a=0D=0AX-Injected:_1?=\r\nX-Empty:\r\n\r\n"
			m := rewriteMail(header, "ann@x.org", "bob@y.org", "cee@y.org")
			m.Envelope.Client = client
			if err := compileRewrites(t, tc.rule).Apply(m); err != nil {
				t.Fatal(err)
			}
			all := string(m.Header) + "MAIL " + m.Envelope.From + "\r\nRCPT " + strings.Join(recipients(m), " ") + "\r\n"
			if !strings.Contains("\r\n"+all, "\r\n"+tc.want+"\r\n") {
				t.Errorf("no %q in\n%s", tc.want, all)
			}
		})
	}
}

// TestTemplatesWithoutText: what mail lacks leaves that one change out, and it is told.
func TestTemplatesWithoutText(t *testing.T) {
	table := compileRewrites(t, Rewrite{SetFrom: mime.Address{Addr: "{user}@z.org"}, SetEnvelopeFrom: "{user}@z.org", SubjectPrefix: "[{listener}]",
		RedirectTo: []string{"{user}@z.org"}, SetHeader: map[string]string{"X-User": "{user}", "X-Host": "{host}"}})
	m := rewriteMail(rewriteHeader, "ann@x.org", "bob@y.org")
	verdicts, err := table.Explain(m)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(rewriteHeader, "\r\n\r\n", "\r\nX-Host: gw.test\r\n\r\n", 1); string(m.Header) != want || m.Envelope.From != "ann@x.org" {
		t.Errorf("from %s\n%s", m.Envelope.From, m.Header)
	}
	want := []string{`set X-Host: "gw.test"`, "X-User is not written: {user} has nothing to stand for", "From stays: {user} has nothing to stand for",
		"Subject stays: {listener} has nothing to stand for", "the envelope sender stays: {user} has nothing to stand for",
		"recipient bob@y.org is not redirected: {user} has nothing to stand for"}
	if !slices.Equal(verdicts[0].Changes, want) {
		t.Errorf("changes are %q", verdicts[0].Changes)
	}
}

// TestFieldsForProviders: those that rules write are noted, and a program's own are not among them.
func TestFieldsForProviders(t *testing.T) {
	const header = "X-SES-Configuration-Set: evil\r\nX-Mailgun-Tag: evil\r\nX-MC-Tags: evil\r\nX-PM-Tag: evil\r\n\r\n"
	m := rewriteMail(header, "ann@x.org", "bob@y.org")
	m.Envelope.Own = []string{"x-pm-tag"}
	if err := compileRewrites(t,
		Rewrite{SetHeader: map[string]string{"X-SES-CONFIGURATION-SET": "cs1", "X-Plain": "1", "X-MC-Subaccount": "{user}"}},
		Rewrite{AddHeader: map[string][]string{"X-Mailgun-Tag": {"a", "b"}}},
		Rewrite{AddHeader: map[string][]string{"x-mailgun-tag": {"c"}}},
		Rewrite{Match: Match{From: []string{"zoe@*"}}, SetHeader: map[string]string{"X-MC-Tags": "zoe"}}).Apply(m); err != nil {
		t.Fatal(err)
	}
	const want = "X-SES-CONFIGURATION-SET: cs1\r\nX-MC-Tags: evil\r\nX-PM-Tag: evil\r\nX-Plain: 1\r\n" +
		"X-Mailgun-Tag: a\r\nX-Mailgun-Tag: b\r\nx-mailgun-tag: c\r\n\r\n"
	if string(m.Header) != want {
		t.Errorf("the header is\n%s", m.Header)
	}
	if own := []string{"x-pm-tag", "x-ses-configuration-set", "x-mailgun-tag"}; !slices.Equal(m.Envelope.Own, own) {
		t.Errorf("own are %q", m.Envelope.Own)
	}
}

// TestStarsWithoutPattern: a star that no pattern gives a text to is an error before there is any mail.
func TestStarsWithoutPattern(t *testing.T) {
	for name, tc := range map[string]struct {
		rule Rewrite
		key  string
	}{
		"no condition":                  {Rewrite{SetFrom: mime.Address{Addr: "*@z.org"}}, "set_from"},
		"no star":                       {Rewrite{Match: Match{From: []string{"ann@x.org"}}, SetEnvelopeFrom: "*@z.org"}, "set_envelope_from"},
		"one without a star":            {Rewrite{Match: Match{To: []string{"*@x.org", "bob@y.org"}}, RedirectTo: []string{"*@z.org"}}, "redirect_to"},
		"a negated one":                 {Rewrite{Match: Match{To: []string{"!*@x.org"}}, RedirectTo: []string{"*@z.org"}}, "redirect_to"},
		"another condition":             {Rewrite{Match: Match{From: []string{"*@x.org"}}, RedirectTo: []string{"*@z.org"}}, "redirect_to"},
		"two for one":                   {Rewrite{Match: Match{From: []string{"*@x.org"}}, SetHeader: map[string]string{"X-B": "* *"}}, "set_header.X-B"},
		"networks have none":            {Rewrite{Match: Match{Client: []string{"10.0.0.0/8"}}, AddHeader: map[string][]string{"X-B": {"*"}}}, "add_header.X-B"},
		"map_sender":                    {Rewrite{MapSender: map[string]string{"root@x.org": "*@z.org"}}, "map_sender.root@x.org"},
		"map_sender, negated":           {Rewrite{MapSender: map[string]string{"!*@x.org": "*@z.org"}}, "map_sender.!*@x.org"},
		"map_sender of the null sender": {Rewrite{MapSender: map[string]string{"<>": "b@z.org"}}, "map_sender.<>"},
		"map_sender of a domain":        {Rewrite{MapSender: map[string]string{"x.org": "b@z.org"}}, "map_sender.x.org"},
		"an unknown name":               {Rewrite{SetHeader: map[string]string{"X-B": "{usr}"}}, "set_header.X-B"},
		"in map_sender":                 {Rewrite{MapSender: map[string]string{"*@x.org": "{name}@z.org"}}, "map_sender.*@x.org"},
		"in a copy":                     {Rewrite{AddBcc: []string{"{user}@z.org"}}, "add_bcc"},
	} {
		_, err := CompileRewrites([]Rewrite{tc.rule}, "gw.test")
		var ke *KeyError
		if !errors.As(err, &ke) || ke.Key != tc.key {
			t.Errorf("%s: %v", name, err)
		}
	}
}
