package gate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/upstream"
)

// told is what a gate tells its peers.
type told struct{ news []News }

func (p *told) Tell(_ string, n News)                 { p.news = append(p.news, n) }
func (p *told) MayProbe(context.Context, string) bool { return false }

func newPeerGate(p Peers) *Gate {
	return New(Settings{Name: "a", MaxConcurrent: 4, Retry: []time.Duration{time.Minute}, MaxAge: time.Hour, Alternatives: true, Peers: p},
		journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()))
}

func TestHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &told{}
		g := newPeerGate(p)
		closed := News{State: Closed, Reason: Account, Error: "401: bad key", Since: time.Now(), Until: time.Now().Add(time.Minute), Closings: 2}
		g.Hear(closed)
		if s := g.Status(); s.State != "closed" || s.Reason != "account" || s.LastError != "401: bad key" || !s.NextProbe.Equal(closed.Until) || g.Usable() {
			t.Errorf("after a closing: %+v", s)
		}
		if !g.SweepDue() || g.ProbeDue() || g.MayProbe(t.Context()) {
			t.Error("mail that has another way is not looked for")
		}
		time.Sleep(time.Minute)
		g.Hear(News{State: Probing, Reason: Account})
		if g.ProbeDue() || g.SweepDue() || !g.Usable() || g.Usable() || g.State() != Closed {
			t.Error("while another gateway probes")
		}
		time.Sleep(probeTime)
		if !g.ProbeDue() {
			t.Error("nobody probes any more")
		}
		g.Hear(News{State: Open, Quiet: time.Now().Add(5 * time.Second)})
		if s := g.Status(); s.State != "open" || s.LastError != "" || !s.NextProbe.After(time.Now()) {
			t.Errorf("after an opening: %+v", s)
		}
		if len(p.news) != 0 {
			t.Errorf("what was heard is told again: %+v", p.news)
		}
		g.Learn("1", &upstream.Error{Class: upstream.Account, Err: errors.New("no")})
		g.TryProbe()
		g.Learn("2", nil)
		if len(p.news) != 2 || p.news[0].State != Closed || p.news[0].Error == "" || p.news[1].State != Open {
			t.Errorf("told: %+v", p.news)
		}
	})
}

func TestNewsAsText(t *testing.T) {
	for _, state := range []State{Open, Probing, Closed} {
		for _, reason := range []Reason{None, Unreachable, Throttled, Account, Quota, Paused} {
			text, err := json.Marshal(News{State: state, Reason: reason})
			var n News
			if err = errors.Join(err, json.Unmarshal(text, &n)); err != nil || n.State != state || n.Reason != reason {
				t.Errorf("%v, %v: %s is %+v, %v", state, reason, text, n, err)
			}
		}
	}
	var n News
	if err := json.Unmarshal([]byte(`{"state":"drowsy","reason":"tired"}`), &n); err != nil || n.State != Closed || n.Reason != Unreachable {
		t.Errorf("what a later version says: %+v, %v", n, err)
	}
	if (noPeers{}).MayProbe(t.Context(), "a") != true {
		t.Error("who is alone may probe")
	}
}
