package gateway

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
)

// TestUpstreamsAreSteered: an upstream is paused, resumed and probed by name; the pause stands over a reload that takes the
// upstream out of the config, and can be ended then.
func TestUpstreamsAreSteered(t *testing.T) {
	const one = "[upstream.main]\ntype = \"memory\"\n[upstream.free]\ntype = \"memory\"\nquota = [\"1/month\"]\n[[route]]\nvia = [\"main\"]\n"
	h := newHouse(t, one)
	c := api.NewClient(filepath.Join(filepath.Dir(h.file), "state", sock.Name))
	defer c.Close()
	ctx := t.Context()
	u, err := c.ActOn(ctx, "main", api.Pause)
	if err != nil || u.State != "closed" || u.Reason != "paused" || u.PausedBy == "" || !strings.HasPrefix(u.Why, "paused by "+u.PausedBy+" since ") {
		t.Fatalf("%+v, %v", u, err)
	}
	for name, want := range map[string]string{
		"main": "it is not tried: paused by ", "nope": `no upstream "nope"; the upstreams are `,
	} {
		if _, err := c.ActOn(ctx, name, api.Probe); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("probe of %s: %v", name, err)
		}
	}
	if u, err := c.ActOn(ctx, "free", api.Probe); err != nil || u.State != "open" {
		t.Errorf("probe of an open upstream: %+v, %v", u, err)
	}
	s, err := c.Status(ctx)
	if err != nil || len(s.NotReady) != 0 {
		t.Errorf("not ready for a pause of one of two: %+v, %v", s, err)
	}
	h.write(strings.ReplaceAll(one, "main", "other"))
	if _, err := c.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ActOn(ctx, "main", api.Pause); err == nil {
		t.Error("an upstream that is gone was paused")
	}
	if _, err := c.ActOn(ctx, "main", api.Resume); err != nil { // delivery may have it still
		t.Errorf("resume of an upstream that is gone: %v", err)
	}
	if _, err := c.ActOn(ctx, "main", api.Resume); err == nil {
		t.Error("it was paused twice")
	}
	if done, err := c.Flush(ctx, time.Second); err != nil || done.Changed != 0 {
		t.Errorf("flush of nothing: %+v, %v", done, err)
	}
}
