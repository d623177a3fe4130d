package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// putAt queues a message that is due at a time.
func (r *rig) putAt(lane string, at time.Time, to string) {
	r.t.Helper()
	d, err := r.q.New(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprint(d, "From: <s@example.com>\r\n\r\nhello\r\n")
	rcpts := []envelope.Recipient{{Address: to}}
	err = d.Commit(r.t.Context(), queue.Accepted{
		Envelope: envelope.Envelope{From: "s@example.com", To: rcpts, Received: time.Now()},
		Parts:    []queue.Part{{To: rcpts, Lane: lane, State: envelope.Queued, NextAt: at}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestEachPartIsOfferedWhenItIsDue: the first due part must not make the lane forget the next ones.
func TestEachPartIsOfferedWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, ups{"a": &scripted{}})
		start := time.Now().Add(300 * time.Millisecond)
		for i := range 12 {
			r.putAt("a", start.Add(time.Duration(i)*40*time.Millisecond), fmt.Sprintf("x%d@example.org", i))
		}
		r.start()
		defer r.stop()
		r.awaitSent(12)
		if late := time.Since(start.Add(440 * time.Millisecond)); late > 50*time.Millisecond {
			t.Errorf("the last one was offered %v late", late)
		}
	})
}

// TestClosingMovesWhatWasPutOff: mail that failed before its gate closed can go elsewhere at once.
func TestClosingMovesWhatWasPutOff(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Temporary, 500, "broken"))
	}}
	b := &scripted{}
	r := newRig(t, func(c *Config) { c.Route = via("a", "b"); c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a, "b": b})
	for i := range 12 {
		r.put("a", fmt.Sprintf("x%d@example.org", i))
	}
	r.start()
	start := time.Now()
	r.awaitSent(12)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestDirectRespectsTheGate(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, upstream.Outcome{Err: &upstream.Error{Class: upstream.Throttled, Status: 429, RetryAfter: time.Hour, Err: errors.New("slow down")}})
	}}
	r := newRig(t, nil, ups{"a": a})
	r.start()
	msg, err := mime.Parse(mime.NewBytesSource([]byte("From: s@example.com\r\n\r\nhello\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	part := queue.Part{Lane: "a", State: envelope.Queued, To: []envelope.Recipient{{Address: "x@example.org"}}}
	for range 3 {
		res := r.d.Direct(context.Background(), &queue.Message{ID: "Q", Envelope: envelope.Envelope{From: "s@example.com", To: part.To}}, msg, part)
		if len(res.Taken) != 0 || res.Err == nil || len(res.Rest) != 1 {
			t.Errorf("result %+v", res)
		}
		if a.count() == 1 && res.Err != nil && !strings.Contains(res.Err.Error(), "slow down") {
			t.Errorf("error %v", res.Err)
		}
	}
	if a.count() != 1 {
		t.Errorf("%d offers to a parked upstream", a.count())
	}
}

// TestOneClaimForEachMail: a lane that has got less than it asked for rests until there is more, and looks
// for what falls due later do not add up.
func TestOneClaimForEachMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mails = 30
		r, f := faultyRig(t, nil, ups{"a": &scripted{}})
		r.start()
		defer r.stop()
		r.await("the start", func() bool { return f.claims.Load() > 0 })
		for n := range mails {
			r.put("a", "x@example.org")
			r.awaitSent(n + 1)
		}
		for what, n := range map[string]int64{"claims": f.claims.Load(), "looks at the lanes": f.lanes.Load()} {
			if n > mails*3/2 {
				t.Errorf("%d %s for %d mails", n, what, mails)
			}
		}
	})
}

// TestNoWakeUpIsLost: mail that comes or falls due while the lane claims or goes to rest waits for no
// timer but its own. The clock of the bubble stands still for as long as anybody works.
func TestNoWakeUpIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, ups{"a": &scripted{}, "b": &scripted{}})
		r.cfg.Route = func(*queue.Message, *mime.Message) func(string) route.Decision {
			return func(to string) route.Decision {
				lane, _, _ := strings.Cut(to, "@")
				return route.Decision{Name: "test", Action: route.Deliver, Via: []string{lane}}
			}
		}
		r.start()
		defer r.stop()
		const producers, each = 4, 60
		start := time.Now()
		var wait sync.WaitGroup
		for p := range producers {
			lane := []string{"a", "b"}[p%2]
			wait.Go(func() {
				for n := range each {
					r.putAt(lane, time.Now().Add(time.Duration(n%3)*30*time.Millisecond), lane+"@example.org")
					if n%7 == 0 {
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
		wait.Wait()
		r.awaitSent(producers * each)
		if took := time.Since(start); took >= dispatchEvery {
			t.Errorf("some mail waited for %v", took)
		}
	})
}

// TestNoWakeUpIsLostAtAReload: the dispatcher that ends may take the signal of mail that only the next one can wake a lane for. It
// can, where mail comes while both look at the queue, and the one that ends is done with its look first.
func TestNoWakeUpIsLostAtAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := faultyRig(t, nil, ups{"a": &scripted{}})
		var looks atomic.Int64
		f.looked = func() {
			switch looks.Add(1) {
			case 1: // of the one that ends
				time.Sleep(50 * time.Millisecond)
			case 3: // the second of the next one
				time.Sleep(40 * time.Millisecond)
			}
		}
		r.start()
		defer r.stop()
		for n := range 20 {
			time.Sleep(time.Second)
			looks.Store(0)
			r.put("a", "x@example.org")
			time.Sleep(10 * time.Millisecond)
			r.d.Reload(r.cfg)
			time.Sleep(30 * time.Millisecond)
			start := time.Now()
			r.put("a", "x@example.org")
			r.awaitSent(2*n + 2)
			if took := time.Since(start); took >= time.Second {
				t.Fatalf("at reload %d, mail waited for %v", n, took)
			}
		}
	})
}

// TestIdleLanesSleep: where there is no mail and all is well, nobody looks at a lane: a machine on a battery is to sleep.
func TestIdleLanesSleep(t *testing.T) {
	scheduled := func() (n uint64) { // one in eight of the times that a goroutine began to run
		sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
		metrics.Read(sample)
		for _, c := range sample[0].Value.Float64Histogram().Counts {
			n += c
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		const lanes, minutes = 8, 10
		all := ups{}
		for i := range lanes {
			all[fmt.Sprintf("u%d", i)] = &scripted{}
		}
		r := newRig(t, nil, all)
		r.start()
		defer r.stop()
		time.Sleep(time.Minute)
		before := scheduled()
		time.Sleep(minutes * time.Minute)
		if n := 8 * (scheduled() - before); n > lanes*minutes*60 { // once a second and lane
			t.Errorf("%d goroutines were woken in %d minutes", n, minutes)
		}
	})
}
