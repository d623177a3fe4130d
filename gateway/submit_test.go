package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

// submitTo hands a message over at a socket.
func submitTo(path, from, to, msg string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail(from), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(msg)); err != nil {
		return err
	}
	return w.Close()
}

// me is how the gateway names the account that runs the tests.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return "uid:" + u.Username
}

const heldRoute = "[upstream.main]\ntype = \"memory\"\n[[route]]\nto = [\"no@*\"]\nreject = \"550 not there\"\n[[route]]\nhold = true\n"

func TestSubmissionSocket(t *testing.T) {
	h := newHouse(t, heldRoute)
	path := filepath.Join(h.cfg.RunDir, SubmitSocket)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o666 && os.Getuid() >= 0 {
		t.Fatalf("%s: mode %v, %v", path, info.Mode(), err)
	}
	if err := submitTo(path, "me", "root", "Subject: hi\r\n\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	held := heldMail(h)
	if len(held) != 1 {
		t.Fatalf("%d messages are held", len(held))
	}
	env := held[0].Envelope
	if env.Client.Listener != submitName || env.From != "me@gw.example.com" || env.To[0].Address != "root@gw.example.com" {
		t.Errorf("envelope %+v", env)
	}
	if got := peerNameKnown(env.Client.User, me(t)); got != "" {
		t.Error(got)
	}
	if err := submitTo(path, "me", "no@example.org", "\r\n"); err == nil || !strings.HasPrefix(err.Error(), "550") {
		t.Errorf("a recipient that the routes refuse: %v", err)
	}
	if n := len(h.g.Addrs()); n != 1 {
		t.Errorf("%d addresses: the socket is none of the config's listeners", n)
	}
}

func heldMail(h *house) []queue.Message {
	h.t.Helper()
	list, err := h.g.queue.List(h.t.Context(), queue.Filter{State: envelope.Held})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// peerNameKnown allows for systems that know no peer credentials.
func peerNameKnown(got, want string) string {
	if got == want || got == "" {
		return ""
	}
	return fmt.Sprintf("user %q, want %q", got, want)
}

func TestSubmissionSocketCannotBeMade(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, runDir := range map[string]string{"a file": inTheWay, "too long": filepath.Join(t.TempDir(), strings.Repeat("long", 30))} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, fmt.Sprintf("run_dir = %q\n[[listener]]\naddress = \"ADDR\"\n%s", runDir, heldRoute))
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			if !strings.Contains(h.log.String(), "where=submit") {
				t.Errorf("it is not told:\n%s", h.log)
			}
		})
	}
}

func TestSubmitListenerIsAsGenerousAsAny(t *testing.T) {
	lc := submitListener(&Config{Listeners: []ListenerConfig{{MaxMessage: 90e6, MaxRecipients: 5}, {MaxMessage: 1, MaxRecipients: 5000}}})
	if lc.MaxMessage != 90e6 || lc.MaxRecipients != 5000 || lc.Mode != "queue" {
		t.Errorf("%+v", lc)
	}
}

func TestMaildropIsPickedUp(t *testing.T) {
	h := newHouse(t, heldRoute)
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	leave := func(from, to string) {
		t.Helper()
		const msg = "Subject: left\r\n\r\nhello\r\n"
		err := maildrop.Write(drop, &envelope.Envelope{From: from, To: []envelope.Recipient{{Address: to}}}, int64(len(msg)), strings.NewReader(msg))
		if errors.Is(err, maildrop.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h.await("the maildrop", func() bool { _, err := os.Stat(drop); return err == nil })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	leave("me", "root")
	leave("me", "no@example.org")
	leave("", "no@example.org")
	leave("me", "a@b@c")
	h.start()
	h.await("the message and the bounce", func() bool { return len(h.waiting(envelope.Held)) == 2 })
	for _, m := range heldMail(h) {
		env := m.Envelope
		if env.From == "" {
			if env.To[0].Address != "me@gw.example.com" {
				t.Errorf("the bounce goes to %+v", env.To)
			}
			continue
		}
		if env.Client.User != me(t) || env.Client.Listener != submitName || time.Since(env.Received) > time.Hour || env.To[0].Address != "root@gw.example.com" {
			t.Errorf("envelope %+v", env)
		}
	}
	h.await("the failed ones", func() bool { return len(h.waiting(envelope.Failed)) == 2 })
	h.await("the one that is put aside", func() bool {
		aside, err := os.ReadDir(drop + "-refused")
		return err == nil && len(aside) == 1 && strings.Contains(h.log.String(), "where=maildrop")
	})
	h.await("the empty maildrop", func() bool { left, err := os.ReadDir(drop); return err == nil && len(left) == 0 })
}

func TestMaildropCannotBeMade(t *testing.T) {
	h := newHouse(t, heldRoute)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	if err := os.RemoveAll(drop); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(drop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.await("the trouble to be told", func() bool { return strings.Contains(h.log.String(), "where=maildrop") })
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
}

func TestMaildropGoneWhileRunning(t *testing.T) {
	h := newHouse(t, heldRoute)
	drop := filepath.Join(h.cfg.StateDir, maildrop.DirName)
	h.await("the maildrop", func() bool { _, err := os.Stat(drop); return err == nil })
	if err := os.RemoveAll(drop); err != nil {
		t.Fatal(err)
	}
	h.await("the trouble to be told", func() bool { return strings.Contains(h.log.String(), "where=maildrop") })
}

func TestCheckEnvelope(t *testing.T) {
	one := func(r envelope.Recipient) envelope.Envelope { return envelope.Envelope{To: []envelope.Recipient{r}} }
	for _, c := range []struct {
		name string
		env  envelope.Envelope
		want string // "" when it is good
	}{
		{"bare names", envelope.Envelope{From: "root", To: []envelope.Recipient{{Address: "ann", Notify: []string{"FAILURE", "DELAY"}}}, Ret: "FULL", Body: "7BIT", EnvID: "x y"}, ""},
		{"the null sender", one(envelope.Recipient{Address: "a@example.org"}), ""},
		{"sender", envelope.Envelope{From: "a b@c d"}, "sender"},
		{"recipient", one(envelope.Recipient{Address: "a@b>\r\nDATA"}), "recipient"},
		{"no recipient", one(envelope.Recipient{}), "missing"},
		{"notify", one(envelope.Recipient{Address: "a@b", Notify: []string{"ALWAYS"}}), "notify"},
		{"ret", envelope.Envelope{Ret: "ALL"}, "ret"},
		{"body", envelope.Envelope{Body: "BINARYMIME"}, "body"},
		{"envid", envelope.Envelope{EnvID: "x\ny"}, "envid"},
		{"long envid", envelope.Envelope{EnvID: strings.Repeat("x", 101)}, "envid"},
	} {
		err := checkEnvelope(&c.env, "example.com")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	env := one(envelope.Recipient{Address: "ann", Given: "forged", ORcpt: "forged"})
	if err := checkEnvelope(&env, "example.com"); err != nil || env.To[0].Address != "ann@example.com" || env.To[0].Given+env.To[0].ORcpt != "" {
		t.Errorf("%+v, %v", env, err)
	}
}

func TestSubmitPlaces(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("STATE_DIRECTORY", "/of/the/calling/service")
	t.Setenv("RUNTIME_DIRECTORY", "/of/the/calling/service")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	place := func(state, run string) string { return state + "/maildrop " + run + "/submit.sock" }
	packaged := place(packagedStateDir, packagedRunDir)
	for _, c := range []struct{ name, text, want string }{
		{"both", "state_dir = \"/s\"\nrun_dir = \"/r\"", place("/s", "/r")},
		{"state_dir", "state_dir = \"/s\"", place("/s", "/s")},
		{"the packaged state_dir", "state_dir = \"/var/lib/mailhatch\"", packaged},
		{"run_dir", "run_dir = \"/r\"", place(packagedStateDir, "/r")},
		{"relative", "state_dir = \"s\"\nrun_dir = \"../r\"", place(filepath.Join(dir, "s"), filepath.Join(filepath.Dir(dir), "r"))},
		{"neither", "hostname = \"x\"", packaged},
		{"a slip in a table", "state_dir = \"/s\"\nrun_dir = \"/r\"\n [upstream.main]\ntype =\n", place("/s", "/r")},
		{"a broken table", "state_dir = \"/s\"\n[[route]\n", place("/s", "/s")},
	} {
		path := write("c.toml", c.text)
		for how, get := range map[string]func() ([]SubmitPlace, error){
			"-c":          func() ([]SubmitPlace, error) { return SubmitPlaces(path) },
			"environment": func() ([]SubmitPlace, error) { t.Setenv("MAILHATCH_CONFIG", path); return SubmitPlaces("") },
		} {
			places, err := get()
			if err != nil || len(places) != 1 || places[0].Maildrop+" "+places[0].Socket != filepath.FromSlash(c.want) {
				t.Errorf("%s by %s: %+v, %v; want %s", c.name, how, places, err, c.want)
			}
		}
	}
	if _, err := SubmitPlaces(write("broken.toml", "state_dir = ")); err == nil {
		t.Error("a broken config that was named is no error")
	}
	if _, err := SubmitPlaces(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing config that was named: %v", err)
	}
	t.Setenv("MAILHATCH_CONFIG", "")
	if _, err := os.Stat(packagedConfig); err == nil {
		t.Skip("mailhatch is installed on this machine")
	}
	places, err := SubmitPlaces("")
	if err != nil || len(places) != 2 || places[0].Socket != packagedRunDir+"/submit.sock" || places[1].Socket != filepath.Join(dir, ".local/state/mailhatch/submit.sock") {
		t.Errorf("without a config: %+v, %v", places, err)
	}
}

func TestDropsElsewhere(t *testing.T) {
	if !worldReadable(0o644) {
		t.Skip("file modes tell nothing here")
	}
	dir := t.TempDir()
	config, packaged, own, link := filepath.Join(dir, "c.toml"), filepath.Join(dir, "packaged"), filepath.Join(dir, "own"), filepath.Join(dir, "link")
	writeFile(t, config, "")
	if err := errors.Join(os.Mkdir(packaged, 0o700), os.Mkdir(own, 0o700), os.Symlink(packaged, link)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stateDir, packaged string
		mode                     fs.FileMode
		want                     bool
	}{
		{"another directory", own, packaged, 0o640, true},
		{"not made yet", filepath.Join(dir, "new"), packaged, 0o640, true},
		{"all may read where it is", own, packaged, 0o644, false},
		{"the same", packaged, packaged, 0o640, false},
		{"the same by a link", link, packaged, 0o640, false},
		{"nothing packaged", own, filepath.Join(dir, "none"), 0o640, false},
	} {
		if err := os.Chmod(config, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := dropsElsewhere(config, c.stateDir, c.packaged); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestKeptDirs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	if state, run := KeptDirs(path); state != "" || run != "" {
		t.Errorf("no config: %q, %q", state, run)
	}
	writeFile(t, path, "state_dir = \"q\"\nrun_dir = \"/run/x\"\n[upstream.broken]\n")
	if state, run := KeptDirs(path); state != filepath.Join(filepath.Dir(path), "q") || filepath.ToSlash(run) != filepath.ToSlash(resolvePath(path, "/run/x")) {
		t.Errorf("a config: %q, %q", state, run)
	}
	if _, err := os.Stat(packagedConfig); err != nil {
		if state, run := KeptDirs(packagedConfig); state != packagedStateDir || run != packagedRunDir {
			t.Errorf("the packaged config: %q, %q", state, run)
		}
	}
}
