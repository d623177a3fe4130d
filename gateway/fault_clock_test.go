package gateway

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/upstream/upstreamtest"
)

// A time of day that is ten days ahead for a while, during an outage, bounces nothing and forgets nothing; nor does
// mail wait for ten days that was put off meanwhile. A provider's clock decides about a step that stays.
func TestClockAheadDuringAnOutage(t *testing.T) {
	fake := upstreamtest.NewResend("k")
	t.Cleanup(fake.Close)
	var shift atomic.Int64
	h := newHouseAt(t, func() time.Time { return time.Now().Add(time.Duration(shift.Load())) },
		fmt.Sprintf("[upstream.main]\ntype = \"resend\"\napi_key = \"k\"\nbase_url = %q\n[[route]]\nvia = [\"main\"]\n[queue]\nretry = [\"50ms\"]\n", fake.URL))
	h.mustSend("x@example.com", []string{"before@example.org"}, plainMail)
	h.sentRecord("before@example.org")
	fake.Script(upstreamtest.Times(100000, upstreamtest.Fault{Status: 409, Body: `{"statusCode":409,"name":"resource_locked","message":"later"}`})...)
	send := func(n int) {
		t.Helper()
		for i := range n {
			h.mustSend("x@example.com", []string{fmt.Sprintf("a%d@example.org", i)}, plainMail)
		}
	}
	tried := func() {
		t.Helper()
		seen := fake.Requests()
		h.await("attempts", func() bool { return fake.Requests() >= seen+8 })
	}
	send(5)
	tried()
	shift.Store(int64(10 * 24 * time.Hour))
	send(5)
	tried()
	h.g.pruneOnce(t.Context())
	shift.Store(0)
	tried()
	fake.Unscript()
	h.await("all mail", func() bool { return len(h.ended(envelope.Sent)) == 11 })
	if failed := h.waiting(envelope.Failed); len(failed) > 0 || len(fake.Accepted()) != 11 {
		t.Errorf("%d parts failed, %d mails were delivered: %+v", len(failed), len(fake.Accepted()), failed)
	}
}
