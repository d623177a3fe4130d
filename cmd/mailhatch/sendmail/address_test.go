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
