package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/deliver/notices"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/upstream"
)

// TestManyRefusalsHostile: relays name the recipient when they refuse it, so that no two refusals are alike. They cost
// no more than in proportion to their number, however large the header is that notifications show.
func TestManyRefusalsHostile(t *testing.T) {
	msg, err := mime.Parse(mime.NewBytesSource([]byte("From: a@x.example\r\n" + strings.Repeat("X-A: b\r\n", 20_000) + "\r\nHello\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	composed := 0
	s := &services{journal: journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()),
		submit: func(context.Context, string, []byte) (string, error) { composed++; return "bounce", nil }}
	g := newGeneration(s, &Config{Upstreams: []Upstream{{Name: "a", SMTP: true, MaxConcurrent: 1}},
		Policy: Policy{MaxAge: time.Hour, OnFailure: "bounce", Retry: []time.Duration{time.Minute}}}, false)
	mimetest.CheckLinear(t, "refusals", 500, func(n int) func() {
		to, outcomes := make([]envelope.Recipient, n), make([]upstream.Outcome, n)
		for i := range to {
			to[i].Address = fmt.Sprintf("ann%d@example.org", i)
			outcomes[i].Err = &upstream.Error{Class: upstream.Permanent, Status: 550, Err: errors.New(to[i].Address + " is unknown")}
		}
		m := &queue.Message{ID: "Q", Envelope: envelope.Envelope{From: "app@example.com", To: to, Received: time.Now()}}
		return func() {
			composed, s.bounces = 0, notices.New()
			a := newAttempt(g.lanes["a"], m, queue.Part{To: to, Lane: "a"}, msg)
			a.settle(t.Context(), to, make([]destination, n), outcomes)
			if composed != notices.Limit || len(a.parts) != n {
				t.Fatalf("%d notifications, %d parts", composed, len(a.parts))
			}
		}
	})
}
