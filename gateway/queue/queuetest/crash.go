package queuetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Environment variables that make a test process the child of [Crash] or [PowerCut].
const (
	childDir  = "QUEUETEST_CRASH_DIR"
	childIdle = "QUEUETEST_CRASH_IDLE" // it accepts idleMessages and then does nothing
)

const idleMessages = 5

const (
	crashRounds   = 5
	crashSessions = 16
	crashMinimum  = 50 // acknowledgements that a round waits for before it kills
)

// Crash kills a process under load, several times on one directory, and checks after each time that
// every acknowledged message is there with its exact bytes and that nothing else is there in halves.
// It runs the calling test again as the child, so it must be called from a top-level test.
func Crash(t *testing.T, e Engine) {
	if dir := os.Getenv(childDir); dir != "" {
		crashChild(t, e, dir)
		return
	}
	dir := t.TempDir()
	acks, leased := map[string]string{}, map[string]bool{}
	for round := range crashRounds {
		c := startChild(t, dir)
		c.await(t, crashMinimum)
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond) // a moment that no one has chosen
		for ack, what := range c.kill(t) {
			acks[ack] = what
		}
		maps.Copy(leased, c.leased)
		verify(t, e, dir, acks, leased, round)
	}
}

// child is a process that accepts and delivers messages and prints what it has acknowledged.
type child struct {
	cmd    *exec.Cmd
	lines  chan string
	acks   map[string]string // by id: "accepted" or "sent"
	leased map[string]bool   // ids of what it has begun to work on
}

func startChild(t *testing.T, dir string, env ...string) *child {
	t.Helper()
	c := &child{lines: make(chan string, 1<<16), acks: map[string]string{}, leased: map[string]bool{}}
	c.cmd = exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
	c.cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		// A line that was cut off by the kill acknowledges nothing.
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			c.lines <- line
		}
	}()
	return c
}

// await reads lines until there are n more acknowledgements.
func (c *child) await(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(50 * time.Second)
	for goal := len(c.acks) + n; len(c.acks) < goal; {
		select {
		case line, ok := <-c.lines:
			if !ok {
				t.Fatalf("the child ended by itself: %v", c.cmd.Wait())
			}
			c.note(t, line)
		case <-timeout:
			t.Fatal("the child does not acknowledge")
		}
	}
}

func (c *child) note(t *testing.T, line string) {
	t.Helper()
	switch f := strings.Fields(line); {
	case len(f) == 2 && (f[0] == "accepted" || f[0] == "sent"):
		c.acks[f[1]] = f[0]
	case len(f) == 2 && f[0] == "leased":
		c.leased[f[1]] = true
	default:
		t.Errorf("the child says %q", line)
	}
}

// kill ends the child and returns all that it has acknowledged.
func (c *child) kill(t *testing.T) map[string]string {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	for line := range c.lines {
		c.note(t, line)
	}
	_ = c.cmd.Wait() // it says that it was killed
	return c.acks
}

// end kills the child and does not mind what it still says.
func (c *child) end() {
	_ = c.cmd.Process.Kill()
	for range c.lines {
		continue
	}
	_ = c.cmd.Wait()
}

// drain reads the lines that come within a time.
func (c *child) drain(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.After(d); ; {
		select {
		case line, ok := <-c.lines:
			if !ok {
				return
			}
			c.note(t, line)
		case <-end:
			return
		}
	}
}

// crashBody is a body that can be checked by itself: a length, a seed and a sum stand at its head.
func crashBody(seed uint64) []byte {
	size := int(seed % 9000)
	switch seed % 16 {
	case 0:
		size = 100<<10 + int(seed%(400<<10)) // some go to files
	case 1, 2, 3:
		size = 10<<10 + int(seed%(100<<10)) // others to what engines have between rows and files
	}
	body := bytesOf(seed, 24+size)
	binary.BigEndian.PutUint64(body, uint64(len(body)))
	binary.BigEndian.PutUint64(body[8:], seed)
	binary.BigEndian.PutUint64(body[16:], sum(body[24:]))
	return body
}

func sum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// crashChild accepts messages until it is killed, and sends every third.
func crashChild(t *testing.T, e Engine, dir string) {
	q := e.Open(t, dir)
	Start(t, q)
	out := &lockedWriter{w: os.Stdout}
	var wg sync.WaitGroup
	for range crashSessions {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				seed := rand.Uint64N(1 << 40)
				id, err := commit(q, crashBody(seed), accepted(strconv.FormatUint(seed, 10)+"@example.com", "bob@example.org"))
				if err != nil {
					fmt.Fprintf(out, "commit: %v\n", err)
					return
				}
				fmt.Fprintf(out, "accepted %s\n", id)
			}
		}()
	}
	for {
		leases, err := q.Claim(context.Background(), lane, 8, longTime)
		if err != nil {
			fmt.Fprintf(out, "claim: %v\n", err)
			return
		}
		for i, l := range leases {
			fmt.Fprintf(out, "leased %s\n", l.Message().ID)
			if i%3 != 0 {
				_ = l.Extend(context.Background(), longTime)
				continue
			}
			if err := l.Finish(context.Background(), sent(l)); err != nil {
				fmt.Fprintf(out, "finish: %v\n", err)
				return
			}
			fmt.Fprintf(out, "sent %s\n", l.Message().ID)
		}
	}
}

// idleChild accepts a few messages, one after the other, and then waits for its end.
func idleChild(t *testing.T, e Engine, dir string) {
	q := e.Open(t, dir)
	Start(t, q)
	for seed := range uint64(idleMessages) {
		id, err := commit(q, crashBody(seed), accepted(strconv.FormatUint(seed, 10)+"@example.com", "bob@example.org"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("accepted %s\n", id)
	}
	select {}
}

// lockedWriter writes whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// verify compares a queue with what was acknowledged. What was leased when the process died is interrupted.
func verify(t *testing.T, e Engine, dir string, acks map[string]string, leased map[string]bool, round int) {
	t.Helper()
	h := &house{T: t, dir: dir, engine: e}
	h.start()
	defer h.stop()
	here := map[string]bool{}
	for _, m := range h.list(queue.Filter{}) {
		here[m.ID] = true
		h.checkBody(m)
		if e.OneProcess && leased[m.ID] && !m.Parts[0].Interrupted {
			t.Errorf("round %d: %s was leased and is not interrupted", round, m.ID)
		}
	}
	ended := map[string]int{}
	for _, r := range h.history(queue.HistoryFilter{}) {
		ended[r.ID]++
		if r.State != envelope.Sent || ended[r.ID] > 1 {
			t.Errorf("round %d: record %+v", round, r)
		}
	}
	for id, what := range acks {
		switch {
		case what == "sent" && (here[id] || ended[id] != 1):
			t.Errorf("round %d: %s was sent, but is queued: %v, ended: %d times", round, id, here[id], ended[id])
		case here[id] == (ended[id] > 0):
			t.Errorf("round %d: %s was accepted, but is queued: %v, ended: %d times", round, id, here[id], ended[id])
		}
	}
	t.Logf("round %d: %d acknowledged, %d queued, %d sent", round, len(acks), len(here), len(ended))
}

// checkBody proves that a message is whole.
func (h *house) checkBody(m queue.Message) {
	h.Helper()
	body := h.body(m.ID)
	if len(body) < 24 || int64(len(body)) != m.Size || binary.BigEndian.Uint64(body) != uint64(len(body)) {
		h.Errorf("message %s has %d bytes", m.ID, len(body))
		return
	}
	seed := binary.BigEndian.Uint64(body[8:])
	if !bytes.Equal(body, crashBody(seed)) || m.Envelope.From != strconv.FormatUint(seed, 10)+"@example.com" {
		h.Errorf("message %s is not what was accepted", m.ID)
	}
}
