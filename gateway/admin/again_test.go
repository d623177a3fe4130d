package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/admin/trial"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestRetryTries: a retry opens the gates that it is about, and says what became of the mail if it is asked to wait.
func TestRetryTries(t *testing.T) {
	var steered, flushed []string
	q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "relay", envelope.Failed), message("C3", "eve", "other", envelope.Queued))
	cfg := Config{Queue: q,
		Why: func(context.Context, []queue.Message) (*waiting.View, error) {
			closed := gate.Status{State: "closed", Pause: &gate.Pause{By: "root", At: time.Now()}}
			return &waiting.View{Running: true, Upstreams: map[string]gate.Status{"main": closed, "relay": closed, "other": closed}}, q.err
		},
		Steer: func(_ context.Context, name string, a api.UpstreamAction, _ string) error {
			steered = append(steered, string(a)+" "+name)
			return ErrNotProbed
		},
		Flush: func(_ context.Context, name string) error { flushed = append(flushed, name); return q.actErr },
	}
	c, address := start(t, cfg)
	got, err := c.Retry(t.Context(), api.Selection{IDs: []string{"A1", "B2", "ZZ"}}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"probe main", "probe relay"}, steered); d != "" {
		t.Errorf("tried (-want +got):\n%s", d)
	}
	if got.Changed != 2 || len(got.Missing) != 1 || len(got.Tried) != 2 || got.Tried[0].ID != "A1" || got.Tried[0].Outcome != trial.Waits ||
		got.Tried[0].WhyCode != waiting.Paused || !strings.HasPrefix(got.Tried[1].Words, "paused by root since") {
		t.Errorf("%+v", got)
	}
	if got, err = c.Retry(t.Context(), api.Selection{All: true}, 0); err != nil || got.Tried != nil || len(steered) != 5 {
		t.Errorf("without a wait: %+v, %v; tried %v", got, err, steered)
	}
	if got, err = c.Act(t.Context(), api.Retry, api.Selection{All: true, DryRun: true}); err != nil || got.Changed != 3 || len(steered) != 5 {
		t.Errorf("dry run: %+v, %v; tried %v", got, err, steered)
	}

	q.lanes = map[string]queue.Lane{"main": {Queued: 1}, "other": {Queued: 1}, waiting.DigestLane: {Queued: 1}}
	if got, err = c.Flush(t.Context(), 5*time.Second); err != nil || got.Changed != 3 || got.Recipients != 3 || len(got.Tried) != 3 {
		t.Errorf("flush: %+v, %v", got, err)
	}
	if d := cmp.Diff([]string{"main", "other"}, flushed); d != "" {
		t.Errorf("flushed (-want +got):\n%s", d)
	}
	for path, words := range map[string]string{
		"/api/v1/queue/retry?wait=soon": `wait "soon" is not a duration`, "/api/v1/queue/retry?wait=2m": "of up to 60s", "/api/v1/queue/hold?wait=1s": "wait goes with retry",
		"/api/v1/flush?wait=-1s": "is not a duration",
	} {
		req, err := http.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(`{"all":true}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), strings.ReplaceAll(words, `"`, `\"`)) {
			t.Errorf("%s: %s %s, %v", path, resp.Status, b, err)
		}
	}
	resp, err := http.Post("http://"+address+"/api/v1/flush", "", nil)
	if err != nil || resp.StatusCode == http.StatusOK {
		t.Fatalf("anybody may: %v, %v", resp, err)
	}
	resp.Body.Close()
	q.actErr = errors.New("EIO")
	if _, err := c.Flush(t.Context(), 0); err == nil {
		t.Error("an error of a flush is lost")
	}
	if _, err := c.Retry(t.Context(), api.Selection{All: true}, time.Second); err == nil {
		t.Error("an error of a retry is lost")
	}
	q.lanes = nil
	if _, err := c.Flush(t.Context(), 0); err == nil {
		t.Error("an error of Lanes is lost")
	}
	q.err = errors.New("EIO")
	if _, err := c.Flush(t.Context(), 0); err == nil {
		t.Error("an error of List is lost")
	}
	c, _ = start(t, Config{Queue: newFake()})
	if _, err := c.Flush(t.Context(), 0); err == nil {
		t.Error("a server without delivery flushes")
	}
}
