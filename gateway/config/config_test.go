package config

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
	"mailhatch/upstream"
)

// testSettings is an upstream kind of the tests' own.
type testSettings struct {
	Type  string          `toml:"type"`
	Token upstream.Secret `toml:"token"`
	testRegion
	Weight  float64           `toml:"weight"`
	Port    uint16            `toml:"port"`
	Labels  map[string]string `toml:"labels"`
	Deep    *testRegion       `toml:"deep"`
	Any     any               `toml:"any"`
	Func    func()            `toml:"func"`
	Skipped string            `toml:"-"`
	opened  *int
}

type testRegion struct {
	Region  string            `toml:"region"`
	Timeout upstream.Duration `toml:"timeout"`
}

func (s *testSettings) Open(env upstream.Env) (upstream.Upstream, error) {
	var errs []error
	if s.Token.IsZero() {
		errs = append(errs, &upstream.KeyError{Key: "token", Problem: "is missing", Hint: "ask the test for one"})
	}
	if s.Region == "mars" {
		errs = append(errs, &upstream.KeyError{Key: "region", Problem: `must be "earth"`})
	}
	if s.Region == "nowhere" {
		errs = append(errs, errors.New("the upstream cannot be made"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	*s.opened++
	return &testUpstream{env: env, settings: s}, nil
}

type testUpstream struct {
	env      upstream.Env
	settings *testSettings
}

func (u *testUpstream) Send(_ context.Context, m *upstream.Mail) []upstream.Outcome {
	return make([]upstream.Outcome, len(m.To))
}

func (u *testUpstream) Close() error {
	*u.settings.opened--
	return nil
}

// testOptions has the kinds test and console; opened counts the upstreams that are open.
func testOptions(opened *int) Options {
	newTest := func() upstream.Settings {
		return &testSettings{opened: opened, testRegion: testRegion{Region: "earth"}}
	}
	newConsole := func() upstream.Settings {
		return &testSettings{opened: opened, Token: upstream.NewSecret("none")}
	}
	return Options{Version: "1.2", Kinds: []upstream.Kind{{Name: "test", New: newTest}, {Name: "console", New: newConsole}}}
}

const goodConfig = `
hostname = "app1.example.com"
state_dir = "state"
[[listener]]
address = "127.0.0.1:1025"
max_message = "1 MiB"
[upstream.second]
type = "test"
token = "secret"
port = 25
weight = 2
labels = { a = "b" }
deep = { region = "earth", timeout = "3s" }
any = [1]
rate = "120/m"
[upstream.first]
type = "test"
token = "secret"
max_concurrent = 4
rewrite_from = "App <noreply@example.com>"
[[route]]
from = "ann@example.com"
via = "second"
[[route]]
balance = { first = 1, second = 2 }
[[route]]
discard = true
[aliases]
root = "ops@example.org"
[identity]
default_from = "noreply@example.com"
`

func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	opened := 0
	path := filepath.Join(t.TempDir(), "mailhatch.toml")
	writeFile(t, path, text)
	cfg, err := Load(path, testOptions(&opened))
	if err == nil {
		t.Cleanup(func() {
			if err := cfg.Close(); err != nil || opened != 0 {
				t.Errorf("close: %v, %d open", err, opened)
			}
		})
	}
	return cfg, err
}

func TestGoodConfig(t *testing.T) {
	cfg, err := loadText(t, goodConfig)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(cfg.File)
	if cfg.StateDir != filepath.Join(dir, "state") || cfg.RunDir != cfg.StateDir {
		t.Errorf("dirs %q %q", cfg.StateDir, cfg.RunDir)
	}
	if cfg.Listeners[0].MaxMessage != 1<<20 || cfg.Listeners[0].MaxRecipients != 1000 {
		t.Errorf("listener %+v", cfg.Listeners[0])
	}
	second, first := cfg.Upstreams[0], cfg.Upstreams[1]
	if second.Name != "second" || second.Rate.PerSecond() != 2 || second.MaxConcurrent != 16 || second.Sender != nil {
		t.Errorf("second %+v", second)
	}
	if first.MaxConcurrent != 4 || first.Rate.PerSecond() != 0 || first.Sender.Rewrite.Addr != "noreply@example.com" {
		t.Errorf("first %+v", first)
	}
	u := second.Upstream.(*testUpstream)
	if s := u.settings; s.Port != 25 || s.Weight != 2 || s.Labels["a"] != "b" || s.Deep.Timeout.Duration != 3*time.Second || s.Token.Reveal() != "secret" {
		t.Errorf("settings %+v", s)
	}
	if u.env.Name != "second" || u.env.Hostname != "app1.example.com" || u.env.Version != "1.2" {
		t.Errorf("env %+v", u.env)
	}
	d := cfg.Routes.Decide(&route.Input{Envelope: &envelope.Envelope{From: "ann@example.com"}, To: "x@example.com"})
	if d.Rule != 0 || !slices.Equal(d.Via, []string{"second"}) {
		t.Errorf("decision %+v", d)
	}
	to, _ := cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{{Address: "root"}})
	if to[0].Address != "ops@example.org" {
		t.Errorf("alias %+v", to)
	}
	want := []string{cfg.File + ":26: route: is never reached: the route on line 24 has no condition"}
	if diff := cmp.Diff(want, cfg.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestDefault(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", filepath.FromSlash("/var/lib/mailhatch")+":/other")
	t.Setenv("RUNTIME_DIRECTORY", filepath.FromSlash("/run/mailhatch"))
	opened := 0
	cfg, err := Load("", testOptions(&opened))
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.Listeners[0]
	if l.Address != "127.0.0.1:1025" || !l.Allows(netip.MustParseAddr("::ffff:127.0.0.1")) || l.Allows(netip.MustParseAddr("10.0.0.1")) {
		t.Errorf("listener %+v", l)
	}
	if sockets := fmt.Sprint(l.Sockets()); sockets != "[{tcp4 127.0.0.1:1025 false} {tcp6 [::1]:1025 true}]" {
		t.Errorf("sockets %s", sockets)
	}
	if cfg.Upstreams[0].Kind.Name != "console" || cfg.Routes.Len() != 1 || len(cfg.Warnings) != 0 {
		t.Errorf("config %+v", cfg)
	}
	if runtime.GOOS != "windows" && (cfg.StateDir != "/var/lib/mailhatch" || cfg.RunDir != "/run/mailhatch") {
		t.Errorf("dirs %q %q", cfg.StateDir, cfg.RunDir)
	}
	if cfg.Close() != nil || opened != 0 {
		t.Errorf("%d open", opened)
	}
}

func TestFindConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("MAILHATCH_CONFIG", "")
	if _, err := os.Stat("/etc/mailhatch/config.toml"); err != nil {
		if got := Find(""); got != "" {
			t.Errorf("nothing there, got %q", got)
		}
	}
	writeFile(t, "mailhatch.toml", "")
	if got := Find(""); got != "mailhatch.toml" {
		t.Errorf("local file, got %q", got)
	}
	t.Setenv("MAILHATCH_CONFIG", "env.toml")
	if got := Find(""); got != "env.toml" {
		t.Errorf("environment, got %q", got)
	}
	if got := Find("flag.toml"); got != "flag.toml" {
		t.Errorf("flag, got %q", got)
	}
}

func TestUnreadable(t *testing.T) {
	opened := 0
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml"), testOptions(&opened)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Load(t.TempDir(), testOptions(&opened)); err == nil {
		t.Error("a folder was read")
	}
	big := filepath.Join(t.TempDir(), "big.toml")
	writeFile(t, big, strings.Repeat("#\n", maxConfigFile/2+1))
	if _, err := Load(big, testOptions(&opened)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
}

func TestDirs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", "")
	path := filepath.Join(dir, "c.toml")
	writeFile(t, path, "state_dir = \"state\"\nrun_dir = \"run\"\n[upstream.x]\ntype = 3\ntoken = \"env:UNSET_X\"\n")
	state, run, err := Dirs(path)
	if err != nil || state != filepath.Join(dir, "state") || run != filepath.Join(dir, "run") {
		t.Errorf("%q %q %v", state, run, err)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("STATE_DIRECTORY", "")
	state, run, err = Dirs("")
	if want := filepath.Join(home, ".local", "state", "mailhatch"); err != nil || state != want || run != want {
		t.Errorf("%q %q %v", state, run, err)
	}
	if got := resolvePath("", "~/x"); got != filepath.Join(home, "x") {
		t.Errorf("home: %q", got)
	}
	writeFile(t, path, "state_dir = 3")
	if _, _, err := Dirs(path); err == nil {
		t.Error("a number was taken for a path")
	}
	if _, _, err := Dirs(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file was read")
	}
	if runtime.GOOS != "windows" {
		t.Setenv("HOME", "")
		if _, _, err := Dirs(""); err == nil {
			t.Error("no home, no error")
		}
	}
}

func TestHealthURL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailhatch.toml")
	for text, want := range map[string]string{
		"": "http://127.0.0.1:8025",
		"[admin]\naddress = \"[::1]:9\"\n[upstream.x]\ntype = \"unknown\"": "http://[::1]:9",
		"[admin]\naddress = \"0.0.0.0:9\"\ntls = \"implicit\"":             "https://0.0.0.0:9",
		"[admin]\naddress = \"off\"":                                       "",
		"[admin]\naddress = \"off\"\nmetrics = \"127.0.0.1:9\"":            "http://127.0.0.1:9",
	} {
		writeFile(t, path, text)
		if got, err := HealthURL(path); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	writeFile(t, path, "[admin")
	for _, bad := range []string{path, path + ".none"} {
		if _, err := HealthURL(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if got, err := HealthURL(""); err != nil || got != "http://127.0.0.1:8025" {
		t.Errorf("no config: %q, %v", got, err)
	}
}

func TestSecretInReadableFile(t *testing.T) {
	if !worldReadable(0o644) {
		t.Skip("file modes tell nothing here")
	}
	for _, tc := range []struct {
		token string
		mode  os.FileMode
		warn  bool
	}{{"literal", 0o644, true}, {"literal", 0o640, false}, {"env:MAILHATCH_TEST_TOKEN", 0o644, false}} {
		t.Setenv("MAILHATCH_TEST_TOKEN", "x")
		path := filepath.Join(t.TempDir(), "c.toml")
		writeFile(t, path, "[upstream.main]\ntype = \"test\"\ntoken = \""+tc.token+"\"\n[[route]]\nvia = \"main\"\n")
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		opened := 0
		cfg, err := Load(path, testOptions(&opened))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(cfg.Warnings) == 1; got != tc.warn {
			t.Errorf("%s %v: warnings %q", tc.token, tc.mode, cfg.Warnings)
		}
	}
}

func TestAliasesFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "aliases"), "root: ops@example.org\nprog: |/bin/sh\nann: ann@example.org\n")
	path := filepath.Join(dir, "c.toml")
	writeFile(t, path, "aliases_file = \"aliases\"\n[upstream.main]\ntype = \"console\"\n[[route]]\nvia = \"main\"\n[aliases]\nroot = \"table@example.org\"\n")
	opened := 0
	cfg, err := Load(path, testOptions(&opened))
	if err != nil {
		t.Fatal(err)
	}
	to, _ := cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{{Address: "root"}, {Address: "ann"}})
	if len(to) != 2 || to[0].Address != "table@example.org" || to[1].Address != "ann@example.org" {
		t.Errorf("%+v", to)
	}
	if len(cfg.Warnings) != 2 || !strings.Contains(cfg.Warnings[0], "aliases:2: alias prog") {
		t.Errorf("warnings %q", cfg.Warnings)
	}
	_, err = loadText(t, "aliases_file = \"none\"\n[upstream.main]\ntype = \"console\"\n[[route]]\nvia = \"main\"\n")
	if err == nil || !strings.Contains(err.Error(), ":1: aliases_file: cannot be read") {
		t.Error(err)
	}
}

func TestWarnAfter(t *testing.T) {
	for text, want := range map[string][]time.Duration{
		"": nil, `warn_after = "0s"`: nil, `warn_after = "4h"`: {4 * time.Hour}, `warn_after = ["1d", "4h", "1d"]`: {4 * time.Hour, 24 * time.Hour},
	} {
		cfg, err := parse("", "[queue]\n"+text+"\n"+builtIn, testOptions(new(int)))
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Duration
		for _, d := range cfg.Queue.WarnAfter {
			got = append(got, d.Duration)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestMapSender: patterns and addresses in the forms that people know from elsewhere.
func TestMapSender(t *testing.T) {
	cfg, err := parse("", `hostname = "web01.example"
[[rewrite]]
map_sender = { "@a.example" = "@b.example", ".c.example" = "*@d.example", root = "ops", "x@*" = "x" }
`+builtIn, testOptions(new(int)))
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"ann@a.example": "ann@b.example", "ann@x.c.example": "ann@d.example", "ann@c.example": "ann@c.example",
		"root@web01.example": "ops@web01.example", "root@a.example": "root@b.example", "x@e.example": "x@web01.example"} {
		env := &envelope.Envelope{From: from, To: []envelope.Recipient{{Address: "a@example.org"}}}
		if err := cfg.Rewrites.Apply(&route.Mail{Envelope: env, Header: []byte("From: " + from + "\r\n\r\n")}); err != nil || env.From != want {
			t.Errorf("%s: %s, %v", from, env.From, err)
		}
	}
}

// TestBuiltInKeepsBodies: without a config, finished mail can be looked at.
func TestBuiltInKeepsBodies(t *testing.T) {
	cfg, err := Load("", testOptions(new(int)))
	if err != nil {
		t.Fatal(err)
	}
	if q := cfg.Queue; q.KeepBodies.Duration != q.KeepSent.Duration || cfg.BodyCount != 500 {
		t.Errorf("%+v", q)
	}
	cfg, err = parse("", "[queue]\nkeep_bodies = \"2d\"\n"+builtIn, testOptions(new(int)))
	if err != nil || cfg.Queue.KeepBodies.Duration != 48*time.Hour || cfg.BodyCount != 0 {
		t.Errorf("%+v, %v", cfg, err)
	}
}
