package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
)

// TestReferences: any text, list, number or switch may stand elsewhere; what was read there is taken as it is.
func TestReferences(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	writeFile(t, filepath.Join(dir, "relay"), "env:NOT_READ_TWICE\n")
	writeFile(t, filepath.Join(dir, "subjects"), "*invoice, paid*\nre: *\n")
	for name, value := range map[string]string{
		"HOST": "gw.example.com", "STATE": filepath.Join(dir, "state"), "ADDRESS": "127.0.0.1:1026", "ALLOW": "10.0.0.0/8, 192.0.2.7\n::1",
		"BIG": "2MB", "MANY": "7", "TYPE": "test", "PORT": "2525", "WEIGHT": "0.5", "RATE": "9/s", "FROM": "App <app@example.com>",
		"DOMAINS": "example.com,example.org", "VIA": "spare", "OPS": "ops@example.com ann@example.com", "DISCARD": "true", "ADMIN": "127.0.0.1:8026",
	} {
		t.Setenv("MAILHATCH_TEST_"+name, value)
	}
	text := strings.ReplaceAll(`
hostname = "env:HOST"
state_dir = "env:STATE"
[[listener]]
address = "env:ADDRESS"
allow = "env:ALLOW"
max_message = "env:BIG"
max_recipients = "env:MANY"
[upstream.main]
type = "env:TYPE"
token = "x"
region = "cred:relay"
port = "env:PORT"
weight = "env:WEIGHT"
rate = "env:RATE"
labels = { a = "env:HOST" }
from_domains = ["example.net", "env:DOMAINS"]
rewrite_from = "env:FROM"
[upstream.spare]
type = "console"
[[route]]
subject = "file:DIR/subjects"
header = { X-Note = "env: is no reference here" }
discard = "env:DISCARD"
[[route]]
via = ["main", "env:VIA"]
[aliases]
root = "env:OPS"
[admin]
address = "env:ADMIN"
`, `"env:`, `"env:MAILHATCH_TEST_`)
	text = strings.Replace(strings.Replace(text, "MAILHATCH_TEST_ is", " is", 1), "DIR", filepath.ToSlash(dir), 1)
	cfg, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	l, up := cfg.Listeners[0], cfg.Upstreams[0]
	s := up.Upstream.(*testUpstream).settings
	got := []string{cfg.Hostname, cfg.StateDir, cfg.Admin.Address, l.Address, fmt.Sprint(l.Allow), fmt.Sprint(l.MaxMessage, l.MaxRecipients),
		fmt.Sprintln(s.Region, s.Port, s.Weight, s.Labels, up.Rate.PerSecond(), up.Sender != nil)}
	want := []string{"gw.example.com", filepath.Join(dir, "state"), "127.0.0.1:8026", "127.0.0.1:1026", "[10.0.0.0/8 192.0.2.7/32 ::1/128]", "2MB 7",
		"env:NOT_READ_TWICE 2525 0.5 map[a:gw.example.com] 9 true\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, c := range []struct{ subject, note, want string }{
		{"an invoice, paid today", "env: is no reference here", "discard"}, {"Re: you", "env: is no reference here", "discard"},
		{"Re: you", "other", "main,spare"}, {"an invoice", "env: is no reference here", "main,spare"},
	} {
		d := cfg.Routes.Decide(&route.Input{Envelope: &envelope.Envelope{}, Subject: c.subject, Header: func(string) []string { return []string{c.note} }})
		if got := strings.Join(d.Via, ","); got != c.want && d.Action.String() != c.want {
			t.Errorf("%s: %+v, want %s", c.subject, d, c.want)
		}
	}
	if got := fmt.Sprint(cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{{Address: "root"}})); !strings.Contains(got, "ops@example.com") || !strings.Contains(got, "ann@example.com") {
		t.Error(got)
	}
	if len(cfg.SecretFiles) != 0 {
		t.Errorf("%q hold no secrets", cfg.SecretFiles)
	}
	stateDir, _, err := Dirs(cfg.File)
	if err != nil || stateDir != cfg.StateDir {
		t.Errorf("%q, %v", stateDir, err)
	}
	if url, err := HealthURL(cfg.File); err != nil || url != "http://127.0.0.1:8026" {
		t.Errorf("%q, %v", url, err)
	}
}

// TestWrongReferences: an error names the reference and its line, and never shows the value.
func TestWrongReferences(t *testing.T) {
	t.Setenv("MAILHATCH_TEST_WRONG", "hunter2 is a password")
	t.Setenv("MAILHATCH_TEST_LIST", "10.0.0.0/8,hunter2")
	t.Setenv("MAILHATCH_TEST_SHORT", "a b")
	_, err := loadText(t, `hostname = "env:MAILHATCH_TEST_WRONG"
[[listener]]
address = "127.0.0.1:1025"
max_recipients = "env:MAILHATCH_TEST_WRONG"
tls = "env:MAILHATCH_TEST_SHORT"
allow = [
  "env:MAILHATCH_TEST_LIST",
  "env:MAILHATCH_TEST_UNSET",
  "not a network",
]
[identity]
domain = "env:MAILHATCH_TEST_UNSET"
[upstream.main]
type = "test"
token = "x"
[[route]]
via = "main"
`)
	want := `:1: hostname: "***" is not a domain name (*** is what env:MAILHATCH_TEST_WRONG holds)
  hint: write a name such as "app1.example.com"
:4: listener.max_recipients: must be a whole number, not text (in env:MAILHATCH_TEST_WRONG)
:5: listener.tls: must be "none", "starttls" or "implicit", not "***" (*** is what env:MAILHATCH_TEST_SHORT holds)
:7: listener.allow: must be a network or an address, such as "10.0.0.0/8" or "2001:db8::7", not "***" (*** is what env:MAILHATCH_TEST_LIST holds)
:8: listener.allow: the environment variable MAILHATCH_TEST_UNSET is not set
:9: listener.allow: must be a network or an address, such as "10.0.0.0/8" or "2001:db8::7", not "not a network"
:12: identity.domain: the environment variable MAILHATCH_TEST_UNSET is not set`
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, strings.ReplaceAll(e.Error(), e.File, "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLenient: what the service may know and this process does not is a warning to those who only look at a config, and
// nothing that follows from it is a problem; what is wrong anywhere stays one.
func TestLenient(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	lenient := testOptions(new(int))
	lenient.Lenient = true
	const rest = "[upstream.spare]\ntype = \"console\"\n[[route]]\nvia = [\"main\", \"spare\"]\n"
	for _, c := range []struct{ table, warning, problem string }{
		{"type = \"test\"\ntoken = \"env:MAILHATCH_TEST_NONE\"\n", "upstream.main.token: the environment variable MAILHATCH_TEST_NONE is not set (the service may have it)", ""},
		{"type = \"test\"\ntoken = \"cred:none\"\n", "upstream.main.token: open ", ""},
		{"type = \"test\"\ntoken = \"x\"\nport = \"env:MAILHATCH_TEST_NONE\"\n", "upstream.main.port: the environment variable", ""},
		{"type = \"env:MAILHATCH_TEST_NONE\"\n", "upstream.main.type: the environment variable", ""},
		{"type = \"test\"\ntoken = \"file:/not/there\"\n", "", "upstream.main.token: open /not/there"},
		{"type = \"test\"\ntoken = \"cred:../x\"\n", "", "cred: takes a plain name"},
		{"type = \"test\"\ntoken = \"env:\"\n", "", "env:"},
	} {
		cfg, err := parse("c.toml", "[upstream.main]\n"+c.table+rest, lenient)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%q: %v, want %q", c.table, err, c.problem)
			}
			continue
		}
		if err != nil || !strings.Contains(strings.Join(cfg.Warnings, "\n"), c.warning) {
			t.Errorf("%q: %v, want the warning %q", c.table, err, c.warning)
			continue
		}
		if u := cfg.Upstream("main"); u != nil && (len(u.Lacking) != 1 || u.Upstream == nil) {
			t.Errorf("%q: %q is lacking, of %v", c.table, u.Lacking, u.Upstream)
		}
		if _, err := parse("c.toml", "[upstream.main]\n"+c.table+rest, testOptions(new(int))); err == nil {
			t.Errorf("%q can be served", c.table)
		}
	}
}
