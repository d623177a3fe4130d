package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
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
	a := &scripted{}
	r := newRig(t, nil, ups{"a": a})
	start := time.Now().Add(300 * time.Millisecond)
	for i := range 12 {
		r.putAt("a", start.Add(time.Duration(i)*40*time.Millisecond), fmt.Sprintf("x%d@example.org", i))
	}
	r.start()
	r.awaitSent(12)
	if late := time.Since(start.Add(440 * time.Millisecond)); late > 2*time.Second {
		t.Errorf("the last one was offered %v late", late)
	}
}

// TestClosingMovesWhatWasPutOff: mail that failed before its gate closed has another way at once.
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
	if took := time.Since(start); took > 5*time.Second {
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
