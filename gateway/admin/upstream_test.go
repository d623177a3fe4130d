package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/queue"
)

// TestActOn: an upstream is paused, resumed and probed by name; who asks for another one is told the names.
func TestActOn(t *testing.T) {
	var done []string
	paused := false
	cfg := Config{Queue: newFake(), Status: func() []api.Upstream {
		return []api.Upstream{{Name: "main", State: "open"}, {Name: "a b", State: "closed"}}
	}}
	cfg.Steer = func(_ context.Context, name string, a api.UpstreamAction, by string) error {
		switch {
		case name == "gone" && a == api.Resume:
		case name != "main" && name != "a b":
			return &api.UnknownUpstreamError{Name: name, Known: []string{"main", "a b"}}
		case name == "a b" && a == api.Probe:
			return fmt.Errorf("%w: paused by root since 11:20", ErrNotProbed)
		case paused:
			return queue.ErrBroken
		}
		done = append(done, strings.Join([]string{string(a), name, by}, " "))
		return nil
	}
	fake := newFake()
	fake.lanes["main"] = queue.Lane{Queued: 3}
	cfg.Queue = fake
	c, address := start(t, cfg)
	u, err := c.ActOn(t.Context(), "main", api.Pause)
	if err != nil || u.Name != "main" || u.Queued != 3 || u.State != "open" {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := c.ActOn(t.Context(), "gone", api.Resume); err != nil || u.Name != "gone" || u.State != "" {
		t.Errorf("%+v, %v", u, err)
	}
	if len(done) != 2 || !strings.HasPrefix(done[0], "pause main ") || done[0] == "pause main " {
		t.Errorf("done: %q", done)
	}
	for _, row := range []struct {
		name   string
		action api.UpstreamAction
		status int
		words  string
	}{
		{"nope", api.Pause, http.StatusNotFound, `no upstream "nope"; the upstreams are main, a b`},
		{"a b", api.Probe, http.StatusConflict, "it is not tried: paused by root since 11:20"},
		{"main", "stop", http.StatusBadRequest, `unknown action "stop"; the actions are pause, resume and probe`},
	} {
		_, err := c.ActOn(t.Context(), row.name, row.action)
		var e *api.Error
		if !errors.As(err, &e) || e.Status != row.status || e.Words != row.words {
			t.Errorf("%s %s: %v", row.action, row.name, err)
		}
	}
	paused = true
	if _, err := c.ActOn(t.Context(), "main", api.Pause); err == nil {
		t.Error("an error of the store is lost")
	}
	resp, err := http.Post("http://"+address+"/api/v1/upstream/main/pause", "", nil)
	if err != nil || resp.StatusCode == http.StatusOK {
		t.Errorf("anybody can pause: %v, %v", resp, err)
	}
	resp.Body.Close()
	c, _ = start(t, Config{Queue: newFake()})
	var e *api.Error
	if _, err := c.ActOn(t.Context(), "main", api.Pause); !errors.As(err, &e) || e.Status != http.StatusNotImplemented {
		t.Error(err)
	}
}

// TestProbeOfRefusedSenders: a probe of an upstream that is open but refuses senders has their mail tried; others change nothing.
func TestProbeOfRefusedSenders(t *testing.T) {
	var flushed []string
	c, _ := start(t, Config{Queue: newFake(),
		Status: func() []api.Upstream {
			return []api.Upstream{{Name: "sg", State: "open", Refuses: []api.Refused{{From: "root@example.com"}}}, {Name: "main", State: "open"}}
		},
		Steer: func(_ context.Context, _ string, _ api.UpstreamAction, _ string) error { return nil },
		Flush: func(_ context.Context, name string) error { flushed = append(flushed, name); return nil },
	})
	for name, a := range map[string]api.UpstreamAction{"main": api.Probe, "sg": api.Pause} {
		if _, err := c.ActOn(t.Context(), name, a); err != nil {
			t.Error(err)
		}
	}
	if len(flushed) != 0 {
		t.Errorf("flushed: %q", flushed)
	}
	if _, err := c.ActOn(t.Context(), "sg", api.Probe); err != nil || len(flushed) != 1 || flushed[0] != "sg" {
		t.Errorf("%v, flushed: %q", err, flushed)
	}
}
