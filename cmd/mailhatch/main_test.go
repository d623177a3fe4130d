package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mailhatch/upstream/upstreamtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mailhatch": func() { os.Exit(realMain()) }})
}

// TestScripts runs the whole program as people do. Each script has a free port in $PORT and a strict
// fake of Resend at $RESEND that takes the key "re_key"; its own commands are in scriptCommands.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
			if err := l.Close(); err != nil {
				return err
			}
			fake := upstreamtest.NewResend("re_key")
			env.Defer(fake.Close)
			env.Values["resend"] = fake
			// Names of sockets must be short: the working directories of scripts are not.
			run, err := os.MkdirTemp("", "mh")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(run) })
			env.Setenv("PORT", port)
			env.Setenv("RESEND", fake.URL)
			env.Setenv("RUN", run)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("STATE_DIRECTORY", filepath.Join(run, "state"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "accepted": accepted, "fill": fill,
		},
	})
}

// await waits until ADDRESS accepts connections.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await ADDRESS")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", args[0])
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing answers at %s: %v", args[0], err)
		}
	}
}

// accepted waits until the fake has N mails, and writes the last one's subject, recipients and text.
func accepted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: accepted N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	fake := ts.Value("resend").(*upstreamtest.Server)
	deadline := time.Now().Add(20 * time.Second)
	for len(fake.Accepted()) < want {
		if time.Now().After(deadline) {
			ts.Fatalf("%d mails taken, want %d; refused: %q", len(fake.Accepted()), want, fake.Rejected())
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, m := range fake.Accepted() {
		ts.Logf("taken: %s to %q: %s", m.Subject, m.Recipients, m.Text)
	}
}

// fill replaces $NAME in files by the environment.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE…")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
