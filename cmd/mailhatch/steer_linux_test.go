package main

import (
	"io"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/cmd/mailhatch/terminal/terminaltest"
)

// atTerminal runs a command at a terminal where somebody types, and returns what that shows.
func (r *rig) atTerminal(t *testing.T, typed string, args ...string) (code int, shown string) {
	t.Helper()
	keyboard, tty := terminaltest.Open(t)
	if _, err := io.WriteString(keyboard, typed); err != nil {
		t.Fatal(err)
	}
	screen := make(chan string)
	go func() {
		out, _ := io.ReadAll(keyboard) // ends when the terminal is closed
		screen <- string(out)
	}()
	a := &app{stdin: tty, stdout: terminal.Output(tty), stderr: terminal.Output(tty)}
	code = a.main(t.Context(), append([]string{"-c", r.config}, args...))
	flush(a.stdout, a.stderr)
	tty.Close()
	return code, strings.ReplaceAll(<-screen, "\r\n", "\n")
}

// TestBulkChangesAskOnTerminal: it shows what a change will touch, and only a yes makes it.
func TestBulkChangesAskOnTerminal(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close() //nolint:errcheck // the directory goes
	r.fill(t, q)
	defer r.serve(t, q)()
	for _, no := range []string{"\n", "n\n", "yess\n", "\x04"} {
		code, shown := r.atTerminal(t, no, "queue", "delete", "--all", "--to", "bob@example.org")
		for _, want := range []string{"delete: 3 recipients of 3 messages\n", "  1 recipient queued for main\n", "  1 recipient failed for main\n",
			"  " + r.ids[0] + "  queued  app@example.com  bob@example.org  number 0\n", "Go on? [y/N] ", "mailhatch: nothing was changed\n"} {
			if code != 1 || !strings.Contains(shown, want) {
				t.Errorf("%q: exit %d, no %q in\n%s", no, code, want, shown)
			}
		}
	}
	r.check(t, "queue list --json", 0, `^({.*bob@example.org.*}\n){3}$`)
	if code, shown := r.atTerminal(t, "Y\n", "queue", "delete", "--to", "bob@example.org"); code != 0 || !strings.Contains(shown, "3 recipients of 3 messages deleted\n") {
		t.Errorf("exit %d:\n%s", code, shown)
	}
	for _, args := range [][]string{{"hold", r.ids[0]}, {"delete", "--all", "--yes"}, {"delete", "--all"}} {
		if code, shown := r.atTerminal(t, "", append([]string{"queue"}, args...)...); code != 0 || strings.Contains(shown, "Go on") {
			t.Errorf("%q: exit %d:\n%s", args, code, shown)
		}
	}
}
