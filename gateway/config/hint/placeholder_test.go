package hint

import (
	"strings"
	"testing"
)

func TestPlaceholder(t *testing.T) {
	for _, c := range []struct {
		text string
		in   string // forms that take it as it stands: w, t, e (template), s
		hint string // of the others, a part
	}{
		{"plain", "wtes", ""}, {"", "wtes", ""},
		{"RESEND_API_KEY", "wte", `write "env:RESEND_API_KEY"`}, {"RELAY_PASSWORD", "wte", `"env:RELAY_PASSWORD"`}, {"PASSWORD", "wtes", ""}, {"Api_KEY", "wtes", ""},
		{"${RESEND_API_KEY}", "", `write "env:RESEND_API_KEY"`}, {"$RESEND_API_KEY", "", `write "env:RESEND_API_KEY"`},
		{"${KEY:-default}", "", `"env:KEY"`}, {"$env:KEY", "", `"env:KEY"`}, {"ENV:KEY", "", `"env:KEY"`}, {"env://KEY", "", `"env:KEY"`},
		{"%{env:KEY}", "", `"env:KEY"`}, {"#{KEY}", "", `"env:KEY"`}, {"<YOUR_API_KEY>", "t", "itself"}, {"<your key>", "t", "itself"}, {"...", "t", ""}, {"<>", "wtes", ""},
		{"<ann@example.com>", "wtes", ""}, {"%KEY%", "", `"env:KEY"`}, {"{{ .Env.KEY }}", "", `"env:KEY"`}, {"{env.KEY}", "", `"env:KEY"`}, {"{$KEY}", "", `"env:KEY"`},
		{`env("KEY")`, "", `"env:KEY"`}, {"$myhostname", "ts", `"env:myhostname"`},
		{"File:/run/key", "t", `"file:…"`}, {"CRED:key", "t", `"cred:…"`},
		{"exec:pass show mail", "t", `"file:/path"`}, {"op://vault/item", "t", "a file"}, {"$(pass show mail)", "", ""}, {"`pass`", "t", "a file"},
		{"$HOME/mail", "s", ""}, {"smtp.${DOMAIN}", "s", "whole value"}, {"$DOMAIN:25", "s", "whole value"}, {"$myhostname:25", "ts", "whole value"},
		{"$2y$10$abcdefghijklmnopqrstuv", "wtes", ""}, {"pa$$word", "wtes", ""}, {"costs $100", "wtes", ""}, {"HOST$", "wtes", ""}, {"$", "wtes", ""},
		{"/var/mail/%u", "s", ""}, {"%h", "s", ""}, {"50%off", "wtes", ""}, {"a%20b%E2%82", "wtes", ""}, {"100%", "wtes", ""}, {"%x", "ts", ""},
		{"{user}@example.com", "es", ""}, {"{host}.{listener}", "es", ""}, {"{nobody}", "tes", ""}, {"{{user}}", "es", ""}, {"{domain}", "es", ""},
		{`{"a": "b"}`, "wtes", ""}, {"[{urgent}]", "tes", ""}, {"{}", "wtes", ""}, {"{SSHA}abc", "wtes", ""},
		{"unix:/run/x.sock", "wtes", ""}, {"fd:smtp", "wtes", ""}, {"uid:app", "wtes", ""}, {"https://api.example.com/v1", "wtes", ""}, {"::1", "wtes", ""},
		{"*@example.com", "wtes", ""}, {`DOMAIN\user`, "wtes", ""}, {"user%example.com@relay", "wtes", ""},
	} {
		for letter, form := range map[string]Form{"w": Word, "t": Text, "e": Template, "s": Secret} {
			if form == Template && strings.Contains(c.in, "t") {
				if problem, _ := Placeholder(c.text, TextTemplate); problem != "" {
					t.Errorf("%q in a text that is filled in: %s", c.text, problem)
				}
			}
			problem, hint := Placeholder(c.text, form)
			if (problem == "") != strings.Contains(c.in, letter) || problem != "" && !strings.Contains(hint, c.hint) {
				t.Errorf("%q as %q: %q, %q", c.text, form, problem, hint)
			}
			if form == Secret && strings.Contains(problem, c.text) && c.text != "" {
				t.Errorf("%q is shown: %s", c.text, problem)
			}
		}
	}
}

func TestReference(t *testing.T) {
	for text, want := range map[string]string{"env: KEY": `"env:KEY"`, "env:${KEY}": `"env:KEY"`, "env://KEY": `"env:KEY"`, "env:": `"file:/path"`, "cred:a b": `"file:/path"`, "env:a b": `"file:/path"`} {
		if got := Reference(text); !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}
