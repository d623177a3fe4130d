package gateway

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/upstream/upstreamtest"
)

// killed is a store whose last process was killed.
type killed struct{ queue.Engine }

func (k killed) Health(ctx context.Context) (queue.Health, error) {
	h, err := k.Engine.Health(ctx)
	h.Unclean = true
	return h, err
}

// TestCarefulAfterAKill: after a process that did not end well, large mail goes one at a time, for one of them may
// have been the cause; small mail does not wait for it.
func TestCarefulAfterAKill(t *testing.T) {
	var offers atomic.Int32 // of large mail
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if s.Stage == upstreamtest.SMTPMail && strings.HasPrefix(s.Address, "large") {
			offers.Add(1)
			<-held
		}
		return upstreamtest.SMTPReaction{}
	}})
	t.Cleanup(release)
	h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.wrap = func(q queue.Engine) queue.Engine { return killed{q} }
	h.start()
	large := plainMail + strings.Repeat(strings.Repeat("x", 70)+"\n", 30_000)
	h.mustSend("large1@example.com", []string{"a@example.org"}, large)
	h.await("the first offer", func() bool { return offers.Load() == 1 })
	second := make(chan error, 1)
	go func() { second <- h.send("large2@example.com", []string{"b@example.org"}, large) }()
	h.mustSend("x@example.com", []string{"c@example.org"}, plainMail)
	h.sentRecord("c@example.org")
	time.Sleep(300 * time.Millisecond) // a second offer would come by now
	if n := offers.Load(); n != 1 {
		t.Errorf("%d large mails at once", n)
	}
	release()
	if err := <-second; err != nil {
		t.Error(err)
	}
	h.sentRecord("a@example.org")
	h.sentRecord("b@example.org")
}
