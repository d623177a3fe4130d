package sendmail

import (
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/mime"
)

func TestHeaderRecipients(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"To: a@b, Ann <c@d>\nCC: e@f\nBcc: g@h\nReply-To: i@j\nTo: k@l", "a@b c@d e@f g@h k@l"},
		{"To: undisclosed-recipients:;\nBcc: root", "root"},
		{"To: a@b\nResent-To: c@d\nResent-Cc: e@f\nResent-Bcc: g@h", "c@d e@f g@h"},
		{"Resent-From: x@y\nResent-To: c@d\nResent-From: z@y\nResent-Cc: old@d", "c@d"},
		{"Resent-To: c@d\nReceived: x\nResent-Cc: old@d", "c@d"},
		{"Subject: x", ""},
		{"To: a@b c@d", "error"},
		{"To: a@b, Ann <c@d> (x), undisclosed recipients:;", "a@b c@d"},
		{"To: a b c", "error"},
		{"To: \"o@kit.test\", Ann <\"p@kit.test\">\nCc: <<a@b>>, <\"Name\" <c@d>>\nBcc: s..p@x", `o@kit.test p@kit.test a@b c@d "s..p"@x`},
		{"To: \"a b@c\"", "error"},
		{"To: <<a@b> <c@d>>", "error"},
		{"To: \"a\x01b\"@c", "error"},
	} {
		got, err := headerRecipients(mime.ParseHeader([]byte(c.header + "\n")))
		text := strings.Join(got, " ")
		if err != nil {
			text = "error"
		}
		if text != c.want {
			t.Errorf("%q: %q, %v; want %q", c.header, text, err, c.want)
		}
	}
	got, err := addresses([]string{`"o@kit.test"`, "<<a@b>>", `<"Name" <c@d>>`, `"s..p"@x`, "p.@x"})
	if want := `o@kit.test a@b c@d "s..p"@x "p."@x`; strings.Join(got, " ") != want {
		t.Errorf("%q, %v; want %s", got, err, want)
	}
	if _, err := addresses([]string{""}); err == nil {
		t.Error("an empty word is an address")
	}
	if got := submit.Unique([]string{"a@b", "A@B", "c@d", "s..p@x", `"s..p"@x`}); len(got) != 3 {
		t.Errorf("unique: %q", got)
	}
}

func TestLooseWords(t *testing.T) {
	for list, want := range map[string]bool{
		"a@b": false, "a@b, c@d": false, "Ann B <a@b>, c@d": false, "root (Cron Daemon)": false, "(Ann) a@b": false,
		`"a b"@c`: false, `"Ann, B" <a@b>`: false, "a @ b . c": false, "@x,@y:a@b": false, "many people: a@b, c@d;": false,
		"a@[IPv6:::1]": false, `"a\" b"@c, d@e`: false, "": false, `"`: false, "<": false, "(": false, " a@b ": false, "a.b c.d": true,
		"<<a@b>>, <x <c@d>>": false, "<<a@b>> c@d": true, "<<a@b> <c@d>>": true, "<a@b>>": true,
		"a@b c@d": true, "a@b Ann": true, "Ann <a@b> c@d": true, "<a@b><c@d>": true, "Ann a@b": true, "a@exa mple.org": true, "c@d, a@b e@f, g@h": true, "people: a@b c@d;": true, `"a"@b "c"@d`: true,
	} {
		if got := looseWords(list); got != want {
			t.Errorf("%q: %v", list, got)
		}
	}
}

func TestMalformedAmongGood(t *testing.T) {
	for _, c := range []struct{ list, good, bad string }{
		{"ann@kit.test, @kit.test", "ann@kit.test", "@kit.test"},
		{"@kit.test,ann@kit.test,,", "ann@kit.test", "@kit.test"},
		{"a b c, ann@kit.test; d e", "ann@kit.test", "a b c|d e"},
		{"team: ann@kit.test, @kit.test, bob@kit.test;, c@d", "ann@kit.test bob@kit.test c@d", "@kit.test"},
		{`"Ann, B" <ann@kit.test>, "x`, "ann@kit.test", `"x`},
		{"<>, ann@kit.test", "ann@kit.test", ""},
		{"ann@, bob@kit.test", "bob@kit.test", "ann@"},
		{"a@[IPv6:::1], (x, y) b@c", "a@[IPv6:::1] b@c", ""},
		{"undisclosed-recipients:;", "", ""},
	} {
		var r recipients
		r.add(c.list)
		var bad []string
		for _, b := range r.bad {
			bad = append(bad, b.text)
		}
		if good := strings.Join(r.good, " "); good != c.good || strings.Join(bad, "|") != c.bad {
			t.Errorf("%s: good %q, bad %q", c.list, good, bad)
		}
	}
	var r recipients
	if r.addWords([]string{"ann@kit.test", "", "bob@kit.test"}); len(r.good) != 2 || len(r.bad) != 1 {
		t.Errorf("words: %+v", r)
	}
}

// headerRecipients returns the recipients of -t, all or none.
func headerRecipients(h mime.Header) ([]string, error) {
	var r recipients
	r.addHeader(h)
	return r.good, r.firstError()
}

// addresses returns the recipients of the command line, all or none.
func addresses(words []string) ([]string, error) {
	var r recipients
	r.addWords(words)
	return r.good, r.firstError()
}

func (r *recipients) firstError() error {
	if len(r.bad) > 0 {
		return r.bad[0].err
	}
	return nil
}
