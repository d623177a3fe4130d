package deliver

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/budget"
	"mailhatch/upstream"
)

// TestLargeHeadersShareMemory has more large headers due, in two lanes, than the memory has place for.
func TestLargeHeadersShareMemory(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	send := func(_ int, m *upstream.Mail) []upstream.Outcome {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		time.Sleep(5 * time.Millisecond)
		return all(m, upstream.Outcome{})
	}
	r := newRig(t, nil, ups{"a": {send: send}, "b": {send: send}})
	r.memory = budget.NewMemory(3 << 20)
	r.over(r.q)
	r.header = strings.Repeat("X-A: b\r\n", 8<<10)
	r.d.config.Load().Route = via("a", "b")
	for i := range 8 {
		r.put([]string{"a", "b"}[i%2], fmt.Sprintf("x%d@example.org", i))
	}
	r.start()
	r.awaitSent(8)
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
	release, err := r.memory.Acquire(t.Context(), 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	r.header = ""
	r.put("a", "small@example.org")
	r.awaitSent(9) // needs nothing of it
	r.header = strings.Repeat("X-A: b\r\n", 8<<10)
	r.put("a", "late@example.org")
	r.await("the claim", func() bool { return len(r.parts()) == 1 })
	r.stop() // while it waits: it is given back
	release()
	if n := len(r.parts()); n != 1 {
		t.Errorf("%d parts are left", n)
	}
}
