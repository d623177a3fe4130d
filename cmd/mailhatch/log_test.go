package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestPrintLog shows what only finished and deferred mail has.
func TestPrintLog(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	err := a.printLog(&api.Log{Entries: []api.Entry{
		{ID: "A1", At: at, State: envelope.Sent, To: "ann@example.org", Upstream: "main", ProviderID: "p-1", Error: "an old one"},
		{ID: "B2", At: at, State: envelope.Queued, From: "app@example.com", To: "bob@example.org", Attempts: 1, Error: "451 later", Why: "retry 1 at 12:30: 451 later"},
		{ID: "D4", At: at, State: envelope.Held, From: "app@example.com", To: "dan@example.org", Error: "451 later", Why: "held by route drafts"},
		{ID: "C3", At: at, State: envelope.Sent, From: "app@example.com", To: "eve@example.org", Given: "eve"},
	}})
	want := `TIME                 ID  STATE   UPSTREAM  FROM             TO
2026-03-01 12:00:00  A1  sent    main      <>               ann@example.org
    as p-1
2026-03-01 12:00:00  B2  queued  -         app@example.com  bob@example.org
    1 attempt
    retry 1 at 12:30: 451 later
2026-03-01 12:00:00  D4  held    -         app@example.com  dan@example.org
    held by route drafts
    last error: 451 later
2026-03-01 12:00:00  C3  sent    -         app@example.com  eve@example.org (eve)
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// screen is what a command writes while it runs.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestFollowLog: log --follow shows what is there, then what is new, once, over a restart of the gateway, until it is interrupted.
func TestFollowLog(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close() //nolint:errcheck // the directory goes
	r.fill(t, q)
	stop := r.serve(t, q)
	var out, errs screen
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int)
	go func() {
		a := &app{stdout: &out, stderr: &errs}
		code <- a.main(ctx, []string{"-c", r.config, "log", "--follow", "--limit", "4"})
	}()
	await := func(what string, s *screen, text string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.String(), text); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no %q in\n%s%s", what, text, out.String(), errs.String())
			}
		}
	}
	await("the latest", &out, r.ids[2])
	if _, err := q.Delete(t.Context(), queue.Filter{IDs: r.ids[:1]}, "root"); err != nil {
		t.Fatal(err)
	}
	await("what is new", &out, "discarded")
	stop()
	await("a stop", &errs, "the gateway has stopped")
	defer r.serve(t, q)()
	if _, err := q.Delete(t.Context(), queue.Filter{IDs: r.ids[1:2]}, "root"); err != nil {
		t.Fatal(err)
	}
	await("after a restart", &out, r.ids[1]+"  discarded")
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d: %s", c, errs.String())
	}
	for text, want := range map[string]int{"TIME ": 1, "discarded": 4, r.ids[2]: 2} {
		if n := strings.Count(out.String(), text); n != want {
			t.Errorf("%q is there %d times, want %d:\n%s", text, n, want, out.String())
		}
	}
}

// TestMboxLines: what looks like the beginning of a message is quoted, and lines end as files have it.
func TestMboxLines(t *testing.T) {
	for body, want := range map[string]string{
		"A: b\r\n\r\nFrom here\r\n>From there\r\nFrom\r\n": "A: b\n\n>From here\n>>From there\nFrom\n",
		"no end": "no end\n", "": "",
		strings.Repeat("x", 70000) + "From x\r\n": strings.Repeat("x", 70000) + "From x\n",
	} {
		var out strings.Builder
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		if err := writeMbox(&out, &api.Entry{Received: at}, strings.NewReader(body)); err != nil || out.String() != "From MAILER-DAEMON Sun Mar  1 12:00:00 2026\n"+want+"\n" {
			t.Errorf("%.40q: %v %.200q", body, err, out.String())
		}
	}
}
