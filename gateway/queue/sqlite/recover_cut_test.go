package sqlite_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// cutOffEnv names the state directory that a child of TestRecoverCutOff recovers.
const cutOffEnv = "MAILHATCH_RECOVER"

// TestRecoverCutOff: a recovery that is killed, wherever and as often as it may be, is taken up by the next one, and
// nothing is lost: not what stands in the log behind the damage, nor bodies that no row names.
func TestRecoverCutOff(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(cutOffEnv); dir != "" {
		_, _ = os.Stdout.WriteString("begin\n")
		_, err := sqlite.Recover(t.Context(), queue.Settings{Dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	damaged, bodies := damagedStore(t)
	whole := filepath.Join(t.TempDir(), "whole")
	copyDir(t, whole, damaged)
	length := cutOff(t, whole, time.Hour) // how long one takes when nobody kills it
	const rounds = 8
	for i := range rounds {
		dir := filepath.Join(t.TempDir(), "state")
		copyDir(t, dir, damaged)
		for n := range 1 + i%3 {
			cutOff(t, dir, length*time.Duration(i+n)/rounds)
		}
		r, err := sqlite.Recover(t.Context(), queue.Settings{Dir: dir}, nil)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		s := openStore(t, queue.Settings{Dir: dir})
		list, err := s.List(t.Context(), queue.Filter{State: envelope.Held}, queue.Page{})
		if err != nil {
			t.Fatal(err)
		}
		held := map[string]int{}
		for _, m := range list {
			held[m.ID]++
		}
		for id, body := range bodies {
			if held[id] != 1 {
				t.Errorf("round %d: message %s is on hold %d times; in doubt: %q", i, id, held[id], r.Doubt)
				continue
			}
			wantBody(t, s, id, body)
		}
		awaitAside(t, s)
		mustClose(t, s)
	}
}

// damagedStore returns a state directory whose log is damaged in its first frame, and the bodies of its
// messages; of half of them there is no row at all.
func damagedStore(t *testing.T) (dir string, bodies map[string][]byte) {
	t.Helper()
	from, dir := t.TempDir(), t.TempDir()
	s := openStore(t, queue.Settings{Dir: from})
	bodies = map[string][]byte{}
	for i := range 12 {
		body := bodyOf(i, []int{900, 100 << 10, 300 << 10}[i%3])
		bodies[putFor(t, s, body)] = body
	}
	copyDir(t, dir, from)
	for i := range 12 { // on no page of the log that is left
		body := bodyOf(100+i, []int{100 << 10, 300 << 10}[i%2])
		bodies[putFor(t, s, body)] = body
	}
	if err := os.RemoveAll(filepath.Join(dir, "bodies")); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(dir, "bodies"), filepath.Join(from, "bodies"))
	mark, err := os.ReadFile(filepath.Join(from, "queue.open"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "queue.open"), mark, 0o600); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	flip(t, filepath.Join(dir, "queue.db-wal"), 32+frameLen-1000)
	return dir, bodies
}

// cutOff recovers in another process and kills it after a time; it returns how long it ran.
func cutOff(t *testing.T, dir string, after time.Duration) time.Duration {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRecoverCutOff$")
	cmd.Env = append(os.Environ(), cutOffEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "begin" {
	}
	began := time.Now()
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	for lines.Scan() {
		if lines.Text() == "PASS" {
			break
		}
	}
	_ = cmd.Wait() // killed, as a rule
	return time.Since(began)
}
