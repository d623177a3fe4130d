package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/test/freeport"
)

// TestLogInJournal: where standard error is the journal of systemd each line begins with its priority, and the first one
// after the start says what runs where.
func TestLogInJournal(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr, page := freeport.Addr(t), freeport.Addr(t)
	file := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("hostname = \"app1\"\nstate_dir = %q\n[[listener]]\naddress = %q\n[upstream.shown]\ntype = \"console\"\n[[route]]\nvia = [\"shown\"]\n"+
		"[admin]\naddress = %q\n", filepath.Join(dir, "state"), addr, page)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := serveInto(t, file, filepath.Join(dir, "log"), func(text string) bool { return strings.Contains(text, "msg=started") })
	for _, want := range []string{
		`(?m)^<6>time=\S+ level=INFO msg=started version=\S+ config=` + regexp.QuoteMeta(file) + ` state_dir=` + regexp.QuoteMeta(filepath.Join(dir, "state")) +
			` listeners=\[` + addr + `\] admin=http://` + page + `$`,
		`(?m)^<6>time=\S+ level=INFO msg=listening`,
		`(?m)^<6>time=\S+ level=INFO msg=stopped`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("no line is %s\n%s", want, log)
		}
	}
	if err := os.WriteFile(file, []byte("typ = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if log := serveInto(t, file, filepath.Join(dir, "log2"), func(text string) bool { return strings.Contains(text, "hint: see") }); !regexp.MustCompile(`(?m)\A(<3>.*\n)+`).MatchString(log) || !strings.Contains(log, "\n<3>mailhatch: "+file+":1: typ: ") {
		t.Errorf("a bad config: %s", log)
	}
}

// serveInto runs the program until its log is done, with a file for the journal, and returns the log.
func serveInto(t *testing.T, file, path string, done func(log string) bool) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	cmd := ownProgram(t, "serve", "-c", file)
	cmd.Stderr = f
	cmd.Env = append(os.Environ(), fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for deadline := time.After(patience); ; {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if done(string(b)) {
			break
		}
		select {
		case <-ended:
			b, _ := os.ReadFile(path)
			return string(b)
		case <-deadline:
			_ = cmd.Process.Kill()
			t.Fatalf("it does not start:\n%s", b)
		case <-time.After(5 * time.Millisecond):
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWelcome: a start without a config shows where to see mail, and where the page is if there is one.
func TestWelcome(t *testing.T) {
	cfg := &config.Config{Listeners: []config.Listener{{Address: "127.0.0.1:1025"}}}
	for _, link := range []*api.Link{nil, {URL: "http://127.0.0.1:8025/login?token=x"}} {
		var out strings.Builder
		welcome(&out, cfg, link)
		if got := strings.Contains(out.String(), "\n  http://127.0.0.1:8025/login?token=x\n"); got != (link != nil) || !strings.Contains(out.String(), "mailhatch listens on 127.0.0.1:1025") {
			t.Errorf("%+v:\n%s", link, &out)
		}
	}
}
