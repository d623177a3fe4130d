package config

import (
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/upstream/kinds"

	"github.com/google/go-cmp/cmp"
)

// TestSyntaxHints: what people write who do not know TOML gets a word on what to write, at its line.
func TestSyntaxHints(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`hostname = app.example.com`, `not in quotes` + "\n  hint: write hostname = \"app.example.com\""},
		{`hostname = app.example.com # a comment`, `write hostname = "app.example.com"`},
		{`address = 127.0.0.1:1025`, `write address = "127.0.0.1:1025"`}, {`shutdown_timeout = 30s`, `write shutdown_timeout = "30s"`},
		{`max_in_flight = 512MiB`, `write max_in_flight = "512MiB"`}, {`rate = 2/s`, `write rate = "2/s"`},
		{`password = hunter2`, `write password = "…"`}, {`api_key = $KEY`, `write api_key = "env:KEY"`}, {"via = [\"main\"", `not closed`}, {`path = C:\mail`, `write path = "…"`},
		{`type: resend`, "= between a key and its value\n  hint: write type = \"resend\""}, {`"type": "resend"`, `write "type" = "resend"`},
		{`port: 587`, "write port = 587"}, {`password: hunter2`, `write password = "…"`}, {`listener:`, `write [listener]`},
		{`hostname := "a.example"`, `write hostname = "a.example"`}, {`hostname => a.example`, `write hostname = "a.example"`},
		{`hostname a.example`, `write hostname = "a.example"`}, {`export HOST=a.example`, `write HOST = "a.example"`},
		{`hostname = “a.example”`, `straight ones`}, {`hostname = ‘a.example’`, `straight ones`}, {`via = [„main“]`, `straight ones`},
		{`“hostname” = "a"`, `straight ones`}, {`hostname = «a»`, `straight ones`},
		{`hostname = "a.example`, `closing quote is missing`}, {`hostname = 'a.example`, `closing quote is missing`},
		{`hostname =`, `write hostname = "…"`}, {`hostname`, "each line is"},
		{`hostname = "a.example";`, `only a comment can follow a value`}, {`port = 587,`, `only a comment can follow a value`},
		{`via = "main", "relay"`, `a list is written ["one", "two"]`}, {`username = "DOMAIN\user"`, `single quotes`}, {`path = "C:\Users"`, `single quotes`},
		{`subject = 'it's'`, `needs "…"`},
		{`via = [main, relay]`, `its own quotes: ["one", "two"]`}, {`allow = [10.0.0.0/8]`, `its own quotes: ["one", "two"]`}, {`via = ["main" "relay"]`, `put a comma between`},
		{`via = ["main", "relay"`, `not closed`}, {`header = { X-A = "b" X-C = "d" }`, "put a comma between"},
		{`discard = yes`, `write discard = true`}, {`discard = True`, `write discard = true`}, {`self_signed = off`, `write self_signed = false`},
		{`port = 0587`, `write port = 587`},
		{`; a comment`, `a comment begins with #`}, {`// a comment`, `a comment begins with #`}, {`- main`, `a list needs brackets`},
		{`<<<<<<< HEAD`, `one of the two versions`}, {`=======`, `one of the two versions`},
		{`[[route]`, `write [[route]]`}, {`[upstream main]`, `write [upstream.main]`}, {`[upstream "main"]`, `write [upstream.main]`}, {`[upstream: main]`, `write [upstream.main]`},
		{`[upstream.main`, `write [upstream.main]`}, {`[up stream.main x`, `alone on its line`}, {`[log] level = "info"`, `alone on its line`}, {`[]`, `alone on its line`},
	} {
		_, err := loadText(t, "# the first line\n"+c.line+"\n")
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ".toml:2: ") {
			t.Errorf("%s\n%v", c.line, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: shown: %v", c.line, err)
		}
	}
	for _, text := range []string{"[log]\nlevel = \"info\"\n[log]\n", "hostname = \"a\"\nhostname = \"b\"\n"} {
		if _, err := loadText(t, text); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := loadText(t, "h\x00o\x00s\x00t\x00"); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Error(err)
	}
}

// TestKeyHints: keys that other programs have, and keys in a wrong table, are told apart from slips.
func TestKeyHints(t *testing.T) {
	for _, c := range []struct{ table, key, want string }{
		{"", "listen", `[[listener]] with address`}, {"", "relayhost", `type = "smtp"`}, {"", "smarthost", `type = "smtp"`}, {"", "myhostname", `did you mean "hostname"?`},
		{"", "spool_directory", `"state_dir"`}, {"", "max_age", "it is a key of [queue]"}, {"", "via", "[[route]]"}, {"", "hostnme", `"hostname"`},
		{"[[listener]]", "listen", `"address"`}, {"[[listener]]\naddress = \"127.0.0.1:1025\"", "port", "part of address"}, {"[[listener]]", "mynetworks", `"allow"`}, {"[[listener]]", "cert", `"cert_file"`}, {"[[listener]]", "message_size_limit", `"max_message"`},
		{"[[listener]]", "state_dir", "above the first line in [brackets]"}, {"[[listener]]", "max_age", "it is a key of [queue]"}, {"[[listener]]", "addres", `"address"`},
		{"[upstream.x]\ntype = \"test\"", "hostname", "above the first line"}, {"[upstream.x]\ntype = \"test\"", "allow", "it is a key of [admin] and of [[listener]]"},
		{"[upstream.x]\ntype = \"test\"", "kind", "the same as \"type\""}, {"[upstream.x]", "kind", `did you mean it by "kind"?`}, {"[upstream.x]\ntype = \"test\"", "passwordeval", "runs no programs"},
		{"[upstream.x]\ntype = \"test\"", "API-Key", "allowed here"}, {"[[route]]", "upstream", `"via"`}, {"[[route]]", "sender", `"from"`}, {"[[route]]", "rcpt", `"to"`},
		{"[[rewrite]]", "bcc", `"add_bcc"`}, {"[identity]", "myorigin", `"domain"`}, {"[queue]", "maximal-queue-lifetime", `"max_age"`}, {"[log]", "loglevel", `"level"`},
		{"[[listener]]\naddress = \"127.0.0.1:1025\"\n[[listener.user]]", "username", `"name"`}, {"[admin]", "listen", `"address"`},
	} {
		_, err := loadText(t, c.table+"\n"+c.key+" = 1\n")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: want %s\n%v", c.table, c.key, c.want, err)
		}
	}
}

// TestStrangers: rules for listeners and users that there are not get a warning.
func TestStrangers(t *testing.T) {
	const text = `
[[listener]]
address = "127.0.0.1:1025"
auth = "optional"
[[listener.user]]
name = "App"
password = "secret"
[upstream.main]
type = "test"
token = "x"
[[route]]
listener = ["127.0.0.1:*", "submit", "bounce", "!127.0.0.1:99", "127.0.0.1:2525"]
user = ["app", "uid:www", "*", "printer", "!nobody"]
via = "main"
[[rewrite]]
user = "scanner"
add_bcc = "ann@example.com"
`
	cfg, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range cfg.Warnings {
		_, w, _ = strings.Cut(w, ".toml:")
		got = append(got, w)
	}
	want := []string{
		`12: route.listener: "127.0.0.1:2525" matches none: there is "submit", "bounce", "canary" or "127.0.0.1:1025"`, `13: route.user: "printer" matches none: there is "App" or "uid:*"`,
		`16: rewrite.user: "scanner" matches none: there is "App" or "uid:*"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if cfg, err = loadText(t, strings.Replace(strings.Replace(text, "auth =", "accept_any_auth = true\nauth =", 1), "[[listener.user]]\nname = \"App\"\npassword = \"secret\"\n", "", 1)); err != nil || len(cfg.Warnings) != 1 {
		t.Errorf("any user: %v", err)
	}
}

// TestTemplates: what is filled in for each message is no placeholder of somebody else.
func TestTemplates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailhatch.toml")
	writeFile(t, path, `
state_dir = "state"
[upstream.boxes]
type = "file"
path = "boxes/{domain}/{local}"
[[route]]
via = "boxes"
[[rewrite]]
set_from = "{user}@{host}"
set_envelope_from = "{user}@example.com"
subject_prefix = "[{host}] "
set_header = { X-Came = "by {listener}" }
`)
	cfg, err := Load(path, Options{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Close(); err != nil {
		t.Error(err)
	}
}

// TestKeysOfTypes: a key of another type of upstream, or of a table below, is told from a slip.
func TestKeysOfTypes(t *testing.T) {
	for _, row := range []struct{ table, key, want string }{
		{"type = \"console\"\n", "preset", `it is a key of [upstream.NAME] of type = "smtp"`},
		{"type = \"console\"\n", "base_url", "it is a key of [upstream.NAME] of some types"},
		{"type = \"graph\"\nuser = \"a@example.com\"\n", "tenant", "it is a key of [upstream.NAME.oauth2]"},
	} {
		path := filepath.Join(t.TempDir(), "mailhatch.toml")
		writeFile(t, path, "[upstream.main]\n"+row.table+row.key+" = \"x\"\n[[route]]\nvia = \"main\"\n")
		if _, err := Load(path, Options{Kinds: kinds.Kinds()}); err == nil || !strings.Contains(err.Error(), row.want+"\n") && !strings.HasSuffix(err.Error(), row.want) {
			t.Errorf("%s: want %s\n%v", row.key, row.want, err)
		}
	}
}
