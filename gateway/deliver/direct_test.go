package deliver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

func TestDirect(t *testing.T) {
	give := func(o ...upstream.Outcome) func(int, *upstream.Mail) []upstream.Outcome {
		return func(int, *upstream.Mail) []upstream.Outcome { return o }
	}
	ok, gone := upstream.Outcome{ID: "id"}, upstream.Outcome{Err: &upstream.Error{Connect: true, Err: errors.New("refused")}}
	for _, c := range []struct {
		name       string
		a, b       func(int, *upstream.Mail) []upstream.Outcome
		taken      string // upstream of each
		rest       string // class of each part
		class      string // of the error for the client
		aOff, bOff int
	}{
		{"taken", give(ok, ok), nil, "a a", "", "", 1, 0},
		{"refused", give(failing(upstream.Permanent, 550, "no"), failing(upstream.Permanent, 550, "no")), nil, "", "permanent", "permanent", 1, 0},
		{"taken in part", give(ok, failing(upstream.Temporary, 450, "later")), nil, "a", "temporary", "temporary", 1, 0},
		{"temporary: the client tries again", give(failing(upstream.Temporary, 450, "later"), failing(upstream.Temporary, 450, "later")), nil, "", "temporary", "temporary", 1, 0},
		{"what is known of each stays apart", give(failing(upstream.Uncertain, 0, "lost"), failing(upstream.Temporary, 450, "later")), nil, "", "uncertain temporary", "uncertain", 1, 0},
		{"out of reach: the next", give(gone, gone), give(ok, ok), "b b", "", "", 1, 1},
		{"wrong key: the next", give(failing(upstream.Account, 401, "key"), failing(upstream.Account, 401, "key")), give(ok, ok), "b b", "", "", 1, 1},
		{"cannot carry it: the next", give(failing(upstream.Unrepresentable, 0, "signed"), failing(upstream.Unrepresentable, 0, "signed")), give(ok, ok), "b b", "", "", 1, 1},
		{"none can", give(gone, gone), give(gone, gone), "", "temporary", "temporary", 1, 1},
		{"uncertain: no other", give(failing(upstream.Uncertain, 0, "lost"), failing(upstream.Uncertain, 0, "lost")), give(ok, ok), "", "uncertain", "uncertain", 1, 0},
		{"too few outcomes count for all", give(ok), nil, "a a", "", "", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &scripted{send: c.a}, &scripted{send: c.b}
			r := newRig(t, func(cfg *Config) { cfg.Route = via("a", "b") }, ups{"a": a, "b": b})
			r.start()
			r.await("the start", func() bool { return r.d.current.Load() != nil })
			result := r.direct(t, t.Context())
			var taken, rest []string
			for _, rec := range result.Taken {
				taken = append(taken, rec.Upstream)
			}
			for _, p := range result.Rest {
				rest = append(rest, p.Progress.Class)
			}
			class := ""
			if result.Err != nil {
				class = offer.Class(result.Err)
			}
			if strings.Join(taken, " ") != c.taken || strings.Join(rest, " ") != c.rest || class != c.class {
				t.Errorf("taken %q, rest %q, error %v; want %q, %q, %q", taken, rest, result.Err, c.taken, c.rest, c.class)
			}
			if a.count() != c.aOff || b.count() != c.bOff {
				t.Errorf("offers %d and %d, want %d and %d", a.count(), b.count(), c.aOff, c.bOff)
			}
		})
	}
}

// direct offers a message of two recipients to a.
func (r *rig) direct(t *testing.T, ctx context.Context) DirectResult {
	t.Helper()
	return r.directTo(t, ctx, "DIRECT", "x@example.org", "y@example.org")
}

func (r *rig) directTo(t *testing.T, ctx context.Context, id string, addresses ...string) DirectResult {
	t.Helper()
	text := "From: s@example.com\r\nSubject: x\r\n\r\nhello\r\n"
	msg, err := mime.Parse(directBody{strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	var to []envelope.Recipient
	for _, a := range addresses {
		to = append(to, envelope.Recipient{Address: a})
	}
	m := &queue.Message{ID: id, Envelope: envelope.Envelope{From: "s@example.com", To: to, Received: time.Now()}, Size: int64(len(text))}
	return r.d.Direct(ctx, m, msg, queue.Part{To: to, Lane: "a", State: envelope.Queued})
}

type directBody struct{ *strings.Reader }

func (b directBody) Size() int64 { return b.Reader.Size() }

func TestDirectWithoutDelivery(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, ups{"a": {}})
	result := r.direct(t, t.Context()) // delivery does not run
	if len(result.Rest) != 1 || result.Err == nil || offer.Class(result.Err) != "temporary" {
		t.Errorf("%+v", result)
	}
	if got := r.d.Choose([]string{"b", "a"}); got != "b" {
		t.Errorf("chosen %q, want the first", got)
	}
}

func TestDirectOfABlockedSender(t *testing.T) {
	a := &scripted{}
	r := newRig(t, nil, ups{"a": a})
	r.start()
	r.await("the start", func() bool { return r.d.current.Load() != nil })
	refusal := notVerified("not verified")
	r.d.current.Load().lanes["a"].gate.SenderRefused("s@example.com", refusal.Err, offer.Failure(refusal.Err))
	result := r.direct(t, t.Context())
	if offer.Class(result.Err) != "account" || result.Err.Error() != "403: not verified" || len(result.Rest) != 1 || a.count() != 0 {
		t.Errorf("%+v, %d offers", result, a.count())
	}
}

// TestDirectKeepsToTheLimits: direct mail shares max_concurrent and rate with queued mail, and gives up at
// the client's deadline.
func TestDirectKeepsToTheLimits(t *testing.T) {
	busy, free := make(chan struct{}), make(chan struct{})
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			close(busy)
			<-free
		}
		return all(m, upstream.Outcome{ID: "id"})
	}}
	r := newRig(t, func(cfg *Config) { cfg.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
	r.put("a", "queued@example.org")
	r.start()
	<-busy
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if result := r.direct(t, ctx); !errors.Is(result.Err, gate.ErrBusy) || offer.Class(result.Err) != "temporary" || len(result.Rest) != 1 || a.count() != 1 {
		t.Errorf("%+v, %d offers", result, a.count())
	}
	close(free)
	if result := r.direct(t, t.Context()); result.Err != nil || len(result.Taken) != 2 {
		t.Errorf("%+v", result)
	}
}

func TestDirectKeepsToTheRate(t *testing.T) {
	a := &scripted{}
	r := newRig(t, func(cfg *Config) { cfg.Upstreams[0].Rate = 0.001 }, ups{"a": a})
	r.start()
	r.await("the start", func() bool { return r.d.current.Load() != nil })
	if result := r.direct(t, t.Context()); result.Err != nil {
		t.Fatal(result.Err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it is known at once that this is too short
	defer cancel()
	if result := r.direct(t, ctx); !errors.Is(result.Err, gate.ErrBusy) || offer.Class(result.Err) != "throttled" || a.count() != 1 {
		t.Errorf("%+v, %d offers", result, a.count())
	}
	if g := r.d.current.Load().lanes["a"].gate; g.State() != gate.Open {
		t.Errorf("our own limit closed the gate")
	}
}

// TestDirectHearsOfAPause: a provider that says with its success that its limit is used up is left alone.
func TestDirectHearsOfAPause(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, upstream.Outcome{ID: "id", Pause: time.Hour})
	}}
	r := newRig(t, nil, ups{"a": a})
	r.start()
	r.await("the start", func() bool { return r.d.current.Load() != nil })
	_ = r.direct(t, t.Context())
	if result := r.direct(t, t.Context()); !errors.Is(result.Err, gate.ErrClosed) || a.count() != 1 {
		t.Errorf("%+v, %d offers", result, a.count())
	}
}

// closing is an upstream that can be closed.
type closing struct {
	*scripted
	closed chan struct{}
}

func (c closing) Close() error { close(c.closed); return nil }

// TestDirectOutlivesAReload: an offer that is under way keeps its upstream open; the next goes by the new config.
func TestDirectOutlivesAReload(t *testing.T) {
	busy, free := make(chan struct{}), make(chan struct{})
	old := closing{&scripted{}, make(chan struct{})}
	old.send = func(_ int, m *upstream.Mail) []upstream.Outcome {
		close(busy)
		<-free
		select {
		case <-old.closed:
			return all(m, failing(upstream.Uncertain, 0, "closed"))
		default:
			return all(m, upstream.Outcome{ID: "old"})
		}
	}
	r := newRig(t, func(cfg *Config) { cfg.Upstreams[0].Upstream = old }, ups{"a": {}})
	r.start()
	done := make(chan DirectResult, 1)
	go func() { done <- r.direct(t, context.Background()) }()
	<-busy
	was := r.d.current.Load()
	fresh := &scripted{}
	r.d.Reload(config(ups{"a": fresh}, nil))
	r.await("the new config", func() bool { return r.d.current.Load() != was })
	if result := r.direct(t, t.Context()); result.Err != nil || fresh.count() != 1 {
		t.Errorf("by the new config: %+v", result)
	}
	close(free)
	if result := <-done; result.Err != nil || len(result.Taken) != 2 {
		t.Errorf("%+v", result)
	}
	<-old.closed
	r.stop()
	if result := r.direct(t, t.Context()); result.Err == nil {
		t.Error("taken after the end")
	}
}
