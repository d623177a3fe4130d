package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/telling"
)

// TestEventsSetup gives a provider the address of a webhook and keeps the secret.
func TestEventsSetup(t *testing.T) {
	log := telling.New(upstreamtest.NewMailgun("key", "mg.example.com"), telling.Mailgun{Domain: "mg.example.com"}, "signing-key-of-a-test")
	defer log.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "mailhatch.toml")
	config := fmt.Sprintf(`state_dir = %q
[[listener]]
address = "127.0.0.1:0"
[[route]]
via = ["main"]
[upstream.main]
type = "mailgun"
api_key = "key"
domain = "mg.example.com"
base_url = %q
[upstream.main.events]
mode = "poll"
[upstream.shown]
type = "console"
`, filepath.ToSlash(filepath.Join(dir, "state")), log.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
		code := a.main(t.Context(), append([]string{"-c", file}, args...))
		return code, out.String()
	}
	const address = "https://mail.example.com/events/main"
	for _, c := range []struct {
		args []string
		code int
		word string
	}{
		{[]string{"events", "setup", "main", "--url", address}, 0, "sends its events to " + address},
		{[]string{"events", "setup", "main"}, 2, "needs --url"},
		{[]string{"events", "setup", "main", "--url", "http://mail.example.com/"}, 2, "must be an https:// address"},
		{[]string{"events", "setup"}, 2, "name of one upstream"},
		{[]string{"events", "setup", "none", "--url", address}, 1, `there is no upstream "none"`},
		{[]string{"events", "setup", "shown", "--url", address}, 1, "type console cannot be set up"},
		{[]string{"events"}, 2, "name of one upstream"},
		{[]string{"events", "--help"}, 0, "setup"},
	} {
		if code, out := run(c.args...); code != c.code || !strings.Contains(out, c.word) || strings.Contains(out, "signing-key") {
			t.Errorf("%q: %d\n%s", c.args, code, out)
		}
	}
	kept, err := os.ReadFile(filepath.Join(dir, "state", "tokens", "main.webhook"))
	if err != nil || strings.TrimSpace(string(kept)) != "signing-key-of-a-test" {
		t.Errorf("%q, %v", kept, err)
	}
	if hooks := log.Hooks("permanent_fail"); len(hooks) != 1 || hooks[0] != address {
		t.Errorf("%q", hooks)
	}
}
