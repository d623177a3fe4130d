package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCrashDamagedLog kills a serving process under load and damages the log of its queue. The next start must refuse
// to go on without a word, and what `recover` does must bring back all that was acknowledged, or say what is missing.
func TestCrashDamagedLog(t *testing.T) {
	const frame = 24 + 4096
	for _, d := range []struct {
		name   string
		all    bool // everything comes back; else what the log alone held is missing
		damage func(path string, log []byte) error
	}{
		{"one bit", true, func(path string, log []byte) error {
			log[32+len(log)/frame/3*frame+2000] ^= 4
			return os.WriteFile(path, log, 0o600)
		}},
		{"cut off", false, func(path string, log []byte) error { return os.Truncate(path, int64(32+len(log)/frame/2*frame)) }},
		{"removed", false, func(path string, _ []byte) error { return os.Remove(path) }},
	} {
		t.Run(d.name, func(t *testing.T) {
			c := newCrash(t)
			p := c.serve(0)
			ctx, stop := context.WithCancel(t.Context())
			var sessions sync.WaitGroup
			for n := range crashSessions {
				sessions.Go(func() { c.session(ctx, 0, n) })
			}
			for deadline := time.Now().Add(10 * time.Second); c.count() < 60 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			p.kill()
			stop()
			sessions.Wait()
			path := filepath.Join(c.dir, "state", "queue.db-wal")
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.damage(path, log); err != nil {
				t.Fatal(err)
			}
			if out, code := c.run("serve"); code != 1 || !strings.Contains(out, "would be lost") || !strings.Contains(out, "mailhatch recover") {
				t.Fatalf("serve: exit code %d\n%s", code, out)
			}
			out, code := c.run("recover")
			if code != 0 {
				t.Fatalf("recover: exit code %d\n%s", code, out)
			}
			c.calm()
			p = c.serve(1)
			if out, code := c.run("queue", "release", "--all"); code != 0 {
				t.Fatalf("release: exit code %d\n%s", code, out)
			}
			if !d.all && strings.Contains(out, "are missing") {
				for subject, small := range c.small {
					if small {
						delete(c.acked, subject)
					}
				}
			}
			defer func() {
				if t.Failed() {
					list, _ := c.run("queue", "list")
					log, _ := c.run("log")
					t.Logf("recover:\n%s\nthe queue:\n%s\nthe log:\n%s", out, list, log)
				}
			}()
			c.awaitAll(p)
			p.terminate(t)
		})
	}
}

// run runs a command on the state directory of the test.
func (c *crash) run(args ...string) (out string, code int) {
	c.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), exe)
	cmd.Args = append([]string{"mailhatch", "-c", filepath.Join(c.dir, "config.toml")}, args...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	_ = cmd.Run() // the exit code says it
	return b.String(), cmd.ProcessState.ExitCode()
}
