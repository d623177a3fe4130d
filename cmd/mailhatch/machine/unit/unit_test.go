//go:build unix

package unit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// A service as systemd 252 shows it, with the config that %s names.
const shown = `Result=success
ExecStart={ path=/usr/bin/mailhatch ; argv[]=/usr/bin/mailhatch -c %s serve ; ignore_errors=no ; start_time=[n/a] ; pid=136 ; code=(null) ; status=0/0 }
User=no-such-account
Group=no-such-account
DynamicUser=no
SupplementaryGroups=
SystemCallFilter=accept bind chmod
ReadWritePaths=-/srv/a +/srv/b
ProtectHome=yes
ProtectSystem=strict
RuntimeDirectory=mailhatch
StateDirectory=mailhatch other:link
TriggeredBy=mailhatch.socket
LoadState=loaded
ActiveState=active
SubState=running
`

const shownSocket = "Id=mailhatch.socket\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nFileDescriptorName=smtp\n"

// manager answers as systemctl does.
func manager(service, socket string) systemctl {
	return func(_ context.Context, args ...string) (string, error) {
		switch text := strings.Join(args[:2], " "); text {
		case "show mailhatch.service":
			return service, nil
		case "show mailhatch.socket":
			return socket, nil
		case "cat mailhatch.service":
			return "[Service]\nLoadCredential=key:/etc/mailhatch/key\n", nil
		default:
			return "", errors.New(text)
		}
	}
}

func configFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	file, other := configFile(t), configFile(t)
	good := fmt.Sprintf(shown, file)
	for _, row := range []struct {
		name, service, file string
		want                bool
	}{
		{"the service's config", good, file, true},
		{"--config=", strings.Replace(good, "-c ", "--config=", 1), file, true},
		{"another config", good, other, false},
		{"a config that is not there", good, other + ".missing", false},
		{"no service", "LoadState=not-found\nExecStart=\n", file, false},
		{"no config is named", strings.Replace(good, "-c "+file, "", 1), file, false},
		{"nothing", "", file, false},
	} {
		if got := load(t.Context(), row.file, manager(row.service, shownSocket)); (got != nil) != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	none := func(context.Context, ...string) (string, error) { return "", errors.New("not booted with systemd") }
	if u := load(t.Context(), file, none); u != nil || u.Down() != "" || u.ChangedCredentials() != nil {
		t.Error("there is no systemd")
	}
	if u := (&Unit{properties: properties{}}).config(); u != "/etc/mailhatch/config.toml" {
		t.Errorf("by default: %s", u)
	}
	_ = Load(t.Context(), file) // whatever this machine has: it is about another config
}

func TestDown(t *testing.T) {
	file := configFile(t)
	for state, want := range map[string]string{
		"ActiveState=active\nSubState=running":          "",
		"ActiveState=inactive\nSubState=dead":           "",
		"ActiveState=failed\nSubState=failed":           "mailhatch.service has failed (success)",
		"ActiveState=activating\nSubState=auto-restart": "mailhatch.service fails and is started again and again (success)",
	} {
		text := strings.Replace(fmt.Sprintf(shown, file), "ActiveState=active\nSubState=running", state, 1)
		if got := load(t.Context(), file, manager(text, shownSocket)).Down(); got != want {
			t.Errorf("%q: %q", state, got)
		}
	}
}

// TestFindings: each thing that the service will not like is found, and nothing where all is well.
func TestFindings(t *testing.T) {
	file := configFile(t)
	fd := []config.Listener{{Address: "fd:smtp"}}
	sets := func(key, value string) string { // in what is shown
		return key + "=" + value
	}
	for _, row := range []struct {
		name   string
		cfg    config.Config
		change string // of the service
		socket string // of the socket
		level  upstream.Level
		want   string // "": nothing
		hint   string
	}{
		{name: "all is well"},
		{name: "the other state directory", cfg: config.Config{StateDir: "/var/lib/other/x"}},
		{name: "opened", cfg: config.Config{StateDir: "/srv/a/mail", RunDir: "/srv/b"}},
		{name: "state_dir", cfg: config.Config{StateDir: "/srv/mail"}, level: upstream.Fail,
			want: "state_dir /srv/mail is read-only for mailhatch.service (ProtectSystem=strict)", hint: "ReadWritePaths=/srv/mail"},
		{name: "a name that only begins like it", cfg: config.Config{StateDir: "/var/lib/mailhatch2"}, level: upstream.Fail, want: "is read-only"},
		{name: "run_dir", cfg: config.Config{RunDir: "/srv/run"}, level: upstream.Fail, want: "run_dir /srv/run is read-only"},
		{name: "both", cfg: config.Config{StateDir: "/srv/mail", RunDir: "/srv/mail"}, level: upstream.Fail, want: "state_dir /srv/mail is read-only"},
		{name: "home", cfg: config.Config{StateDir: "/home/ann/mail"}, level: upstream.Fail, want: "cannot be reached by mailhatch.service (ProtectHome=yes)", hint: "elsewhere"},
		{name: "a home that can be read", cfg: config.Config{StateDir: "/home/ann/mail"}, change: sets("ProtectHome", "read-only"), level: upstream.Fail, want: "is read-only"},
		{name: "no sandbox", cfg: config.Config{StateDir: "/srv/mail"}, change: sets("ProtectSystem", "no")},
		{name: "full", cfg: config.Config{StateDir: "/srv/mail"}, change: sets("ProtectSystem", "full")},
		{name: "full, in /etc", cfg: config.Config{StateDir: "/etc/mail"}, change: sets("ProtectSystem", "full"), level: upstream.Fail, want: "is read-only"},
		{name: "yes, in /etc", cfg: config.Config{StateDir: "/etc/mail"}, change: sets("ProtectSystem", "yes")},
		{name: "yes, in /usr", cfg: config.Config{StateDir: "/usr/mail"}, change: sets("ProtectSystem", "yes"), level: upstream.Fail, want: "is read-only"},
		{name: "a key at home", cfg: config.Config{SecretFiles: []string{"/root/resend.key"}}, level: upstream.Fail, want: "/root/resend.key cannot be reached"},
		{name: "a certificate of [admin] at home", cfg: config.Config{Admin: config.Admin{Encryption: config.Encryption{KeyFile: "/home/ann/tls.key"}}}, level: upstream.Fail,
			want: "/home/ann/tls.key cannot be reached"},
		{name: "a certificate at home", cfg: config.Config{Listeners: []config.Listener{{Address: "127.0.0.1:25", Encryption: config.Encryption{KeyFile: "/home/ann/tls.key"}}}}, level: upstream.Fail,
			want: "/home/ann/tls.key cannot be reached"},
		{name: "a socket", cfg: config.Config{Listeners: fd}, socket: shownSocket},
		{name: "a socket that is down", cfg: config.Config{Listeners: fd}, socket: strings.Replace(shownSocket, "=active", "=inactive", 1), level: upstream.Fail,
			want: "listener fd:smtp: mailhatch.socket, which passes the socket, is inactive", hint: "systemctl enable --now mailhatch.socket"},
		{name: "a socket that the next boot forgets", cfg: config.Config{Listeners: fd}, socket: strings.Replace(shownSocket, "=enabled", "=disabled", 1), level: upstream.Warn,
			want: "mailhatch.socket is not enabled", hint: "systemctl enable mailhatch.socket"},
		{name: "a socket of another name", cfg: config.Config{Listeners: []config.Listener{{Address: "fd:mail"}}}, level: upstream.Fail,
			want: "listener fd:mail: no socket unit of mailhatch.service has that name", hint: "FileDescriptorName=mail"},
		{name: "no socket unit", cfg: config.Config{Listeners: fd}, socket: "Id=mailhatch.socket\nLoadState=not-found\nFileDescriptorName=smtp\n", level: upstream.Fail,
			want: "no socket unit"},
		{name: "a socket that nobody wants", socket: shownSocket, level: upstream.Warn, want: "mailhatch.socket passes a socket that no listener wants", hint: `address = "fd:smtp"`},
	} {
		text := fmt.Sprintf(shown, file)
		if key, _, ok := strings.Cut(row.change, "="); ok {
			lines := strings.Split(text, "\n")
			lines[slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, key+"=") })] = row.change
			text = strings.Join(lines, "\n")
		}
		if row.socket == "" {
			row.socket = strings.Replace(shownSocket, "=active", "=inactive", 1)
		}
		row.cfg.File = file
		if row.cfg.StateDir == "" {
			row.cfg.StateDir = "/var/lib/mailhatch"
		}
		if row.cfg.RunDir == "" {
			row.cfg.RunDir = "/run/mailhatch"
		}
		list := load(t.Context(), file, manager(text, row.socket)).Findings(&row.cfg)
		if row.want == "" && len(list) != 0 || row.want != "" && (len(list) != 1 || list[0].Level != row.level ||
			!strings.Contains(list[0].Text, row.want) || !strings.Contains(list[0].Hint, row.hint)) {
			t.Errorf("%s: %+v, want %v %q", row.name, list, row.level, row.want)
		}
	}
	var none *Unit
	if list := none.Findings(&config.Config{Listeners: fd}); len(list) != 1 || list[0].Level != upstream.Warn || !strings.Contains(list[0].Text, "fd:smtp") {
		t.Errorf("a socket without systemd: %+v", list)
	}
}

// TestAccount: what the account of the service may not read, write or give away.
func TestAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: another account's view")
	}
	dir := t.TempDir()
	for up := dir; up != "/"; up = filepath.Dir(up) { // for others to pass
		if err := os.Chmod(up, 0o777|os.ModeSticky); err != nil || filepath.Dir(up) == os.TempDir() {
			break
		}
	}
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	u := &Unit{properties: properties{}, account: &account{name: "nobody", group: "nogroup", uid: 65534, gid: 65534, groups: []int{12}}}
	cfg := &config.Config{File: file, StateDir: dir, RunDir: dir, Listeners: []config.Listener{{Address: "unix:/x", SocketGroup: "13"}}}
	texts := func() []string {
		var list []string
		for _, f := range u.Findings(cfg) {
			list = append(list, f.Text)
		}
		return list
	}
	want := []string{file + " cannot be read by nobody, as which mailhatch.service runs", "listener unix:/x: mailhatch.service may not give its socket to the group 13"}
	if got := texts(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := errors.Join(os.Chown(file, 0, 12), os.Chmod(dir, 0o755)); err != nil { // by a group, and no longer to write
		t.Fatal(err)
	}
	cfg.Listeners[0].SocketGroup = "12"
	want = []string{"state_dir " + dir + " cannot be written by nobody, as which mailhatch.service runs"}
	if got := texts(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	u.properties["SystemCallFilter"] = "accept bind"
	if got := texts(); len(got) != 2 || !strings.Contains(got[1], "may not give its socket to the group 12") {
		t.Errorf("%q", got)
	}
	for filter, want := range map[string]bool{"": true, "bind fchownat": true, "bind": false, "~fchownat bind": false, "~bind": true} {
		u.properties["SystemCallFilter"] = filter
		if got := u.allows("fchownat"); got != want {
			t.Errorf("%q: %v", filter, got)
		}
	}
	root := (&Unit{properties: properties{"User": "root", "SupplementaryGroups": "7 no-such-group"}}).lookUp()
	if root == nil || root.uid != 0 || !root.in(7) || root.in(8) || root.refused("-r", file) || root.refused("-w", dir) {
		t.Errorf("%+v", root)
	}
	if a := (&Unit{properties: properties{"DynamicUser": "yes"}}).lookUp(); a != nil || a.refused("-r", file) {
		t.Errorf("%+v", a)
	}
}

// TestChangedCredentials: what the service has been given is compared with what is there now.
func TestChangedCredentials(t *testing.T) {
	held, source := t.TempDir(), t.TempDir()
	put := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("# /etc/systemd/system/x\n[Service]\nLoadCredential=same:%[1]s/same\n LoadCredential=other:%[1]s/other\nLoadCredential=gone:%[1]s/gone\nLoadCredential=name\n", source)
	for _, name := range []string{"same", "other", "gone"} {
		put(held, name, "secret")
	}
	put(source, "same", "secret")
	put(source, "other", "new secret")
	want := []string{"credential other: " + source + "/other has changed since the service was started, which needs a restart"}
	if got := changedCredentials(text, held); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// What cannot be read is told by its time.
	for _, name := range []string{"same", "other"} {
		path := filepath.Join(source, name)
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Chtimes(filepath.Join(source, "same"), old, old), os.Chtimes(filepath.Join(held, "other"), old, old)); err != nil {
		t.Fatal(err)
	}
	if got := changedCredentials(text, held); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
