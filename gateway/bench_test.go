package gateway

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mailhatch/upstream/upstreamtest"
)

// BenchmarkThrough sends messages by 16 sessions through a gateway to an SMTP relay, for profiles;
// `make bench` measures the real program.
func BenchmarkThrough(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, held := range []bool{true, false} {
			name := "delivered"
			if held {
				name = "accepted"
			}
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) { through(b, held, size) })
		}
	}
}

func through(b *testing.B, held bool, size int) {
	fake := upstreamtest.NewSMTP(b, upstreamtest.SMTPOptions{Discard: true})
	action := `via = ["relay"]`
	if held {
		action = "hold = true"
	}
	h := newHouse(b, fmt.Sprintf("[upstream.relay]\ntype = \"smtp\"\nhost = %q\nport = %d\ntls = \"none\"\n[[route]]\n%s\n", fake.Host, fake.Port, action))
	msg := "From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72) + ".\r\n"
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			c, err := net.Dial("tcp", h.addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			line := func() string { s, _ := r.ReadString('\n'); return s }
			line()
			fmt.Fprint(c, "HELO x\r\n")
			line()
			for left.Add(-1) >= 0 {
				for _, s := range []string{"MAIL FROM:<a@example.com>\r\n", "RCPT TO:<b@example.org>\r\n", "DATA\r\n", msg} {
					fmt.Fprint(c, s)
					if got := line(); got == "" || got[0] > '3' {
						b.Errorf("reply %q", got)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if !held {
		h.await("all delivered", func() bool { return fake.Count() >= b.N })
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
