package smtpd

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/smtpd/limit"
)

// bubble is a server in memory, by the fake clock of synctest.
type bubble struct {
	t       *testing.T
	pipes   *pipes
	conns   []net.Conn
	running sync.WaitGroup // what the clients do beside the test
}

// inBubble runs a test with a server that ends before it.
func inBubble(t *testing.T, cfg Config, test func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, pipes: newPipes()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- New(cfg, &keeper{}, nil).Serve(ctx, b.pipes) }()
		defer func() {
			for _, c := range b.conns {
				c.Close()
			}
			b.running.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		test(b)
	})
}

// from is a connection from an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

// dial connects from an address; "" is a program of this machine.
func (b *bubble) dial(addr string) *peer {
	client, server := net.Pipe()
	if addr != "" {
		server = from{server, &net.TCPAddr{IP: net.ParseIP(addr), Port: 1}}
	}
	b.conns = append(b.conns, client)
	b.pipes.conns <- server
	return newPeer(b.t, client)
}

// beginData connects and sends commands up to DATA.
func (b *bubble) beginData(addr string) *peer {
	p := b.dial(addr)
	p.want("220")
	p.talk("HELO me", "250")
	p.begin()
	return p
}

// trickle sends a byte every now and then until the connection ends, and returns how that was said.
func (b *bubble) trickle(p *peer, every time.Duration) (reply <-chan string) {
	last := make(chan string, 1)
	b.running.Go(func() {
		for {
			if _, err := io.WriteString(p.conn, "x"); err != nil {
				return
			}
			time.Sleep(every)
		}
	})
	b.running.Go(func() {
		all, _ := p.reply()
		last <- all
		p.conn.Close()
	})
	return last
}

func text(n int) string { return strings.Repeat(strings.Repeat("x", 62)+"\r\n", n/64) }

// RFC 5321 4.5.3.2.7: a client may be silent for minutes inside a message.
func TestSilenceInsideMessage(t *testing.T) {
	for _, c := range []struct {
		first, silence time.Duration
		sent           int
		want           string
	}{
		{35 * time.Second, 0, 0, "250"},
		{0, 45 * time.Second, 200, "250"},
		{299 * time.Second, 299 * time.Second, 200, "250"},
		{301 * time.Second, 0, 0, "421 4.4.2"},
	} {
		inBubble(t, Config{}, func(b *bubble) {
			p := b.beginData("192.0.2.1")
			b.running.Go(func() {
				time.Sleep(c.first)
				io.WriteString(p.conn, text(c.sent))
				time.Sleep(c.silence)
				io.WriteString(p.conn, "the end\r\n.\r\n")
			})
			p.want(c.want)
			p.conn.Close()
		})
	}
}

// A fast start buys no more patience than others have.
func TestTrickleAfterBurst(t *testing.T) {
	inBubble(t, Config{}, func(b *bubble) {
		p := b.beginData("192.0.2.1")
		p.send(text(20 << 20))
		began := time.Now()
		if got := <-b.trickle(p, 3*time.Second); !strings.HasPrefix(got, "421 4.4.2") {
			t.Errorf("got %q", got)
		}
		if d := time.Since(began); d < 9*time.Minute || d > 11*time.Minute {
			t.Errorf("cut after %v", d)
		}
	})
}

// However well a client keeps to min_rate, a message ends some time.
func TestMessageEndsSomeTime(t *testing.T) {
	inBubble(t, Config{}, func(b *bubble) {
		p := b.beginData("192.0.2.1")
		b.running.Go(func() {
			for {
				if _, err := io.WriteString(p.conn, text(64*100)); err != nil {
					return
				}
				time.Sleep(100 * time.Second)
			}
		})
		began := time.Now()
		p.want("421 4.4.2")
		if d := time.Since(began); d < 2*time.Hour || d > 3*time.Hour {
			t.Errorf("cut after %v", d)
		}
		p.conn.Close()
	})
}

// Clients that take up the budget and then send a byte each 3 s cost others nothing but a moment.
func TestSlowGiveWay(t *testing.T) {
	const slow, budget = 20, 4 << 20
	for _, c := range []struct{ name, good, evil string }{
		{"from many addresses", "192.0.2.99", "192.0.2.%d"},
		{"from one address", "192.0.2.99", "192.0.2.1"},
		{"from the address of the good one", "192.0.2.1", "192.0.2.1"},
		{"on this machine", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Config{InFlight: limit.NewBudget(budget)}, func(b *bubble) {
				var last []<-chan string
				for i := range slow {
					addr := c.evil
					if strings.Contains(addr, "%d") {
						addr = fmt.Sprintf(addr, i+1)
					}
					p := b.beginDataOrNot(addr)
					if p == nil {
						continue // the share of its address is spent
					}
					b.running.Go(func() { io.WriteString(p.conn, text(budget/slow)) })
					synctest.Wait()
					last = append(last, b.trickle(p, 3*time.Second))
				}
				time.Sleep(15 * time.Second)
				for range 10 {
					began := time.Now()
					p := b.beginData(c.good)
					p.send(text(1<<20) + ".\r\n")
					p.want("250")
					p.talk("QUIT", "221")
					if d := time.Since(began); d > time.Second {
						t.Errorf("served after %v", d)
					}
				}
				cut := 0
				for _, l := range last {
					select {
					case got := <-l:
						cut++
						if !strings.HasPrefix(got, "421 4.3.2") {
							t.Errorf("cut with %q", got)
						}
					default:
					}
				}
				if cut == len(last) {
					t.Error("more were cut than had to be")
				}
			})
		})
	}
}

// beginDataOrNot returns nil when MAIL is refused.
func (b *bubble) beginDataOrNot(addr string) *peer {
	p := b.dial(addr)
	p.want("220")
	p.talk("HELO me", "250")
	p.send("MAIL FROM:<a@b.c>\r\n")
	if got, _ := p.reply(); !strings.HasPrefix(got, "250") {
		p.conn.Close()
		return nil
	}
	p.talk("RCPT TO:<d@e.f>", "250", "DATA", "354")
	return p
}

// One client leaves room for others, however fast it is.
func TestShareOfBudget(t *testing.T) {
	const budget = 1 << 20
	inBubble(t, Config{InFlight: limit.NewBudget(budget)}, func(b *bubble) {
		var greedy []*peer
		for range 40 {
			p := b.beginDataOrNot("192.0.2.1")
			if p == nil {
				break
			}
			greedy = append(greedy, p)
			b.running.Go(func() { io.WriteString(p.conn, text(32<<10)) })
			synctest.Wait()
		}
		p := b.beginData("192.0.2.2")
		p.send(text(64<<10) + ".\r\n")
		p.want("250")
		p.conn.Close()
		kept := 0
		for _, p := range greedy {
			p.send("\r\n.\r\n")
			if got, _ := p.reply(); strings.HasPrefix(got, "250") {
				kept++
			}
		}
		if kept < 20 || kept > 25 {
			t.Errorf("one client has had %d messages of 32 KiB at once", kept)
		}
	})
}

// A message that comes at a pace that suits its size keeps its place.
func TestSteadyKeepsItsPlace(t *testing.T) {
	inBubble(t, Config{InFlight: limit.NewBudget(256 << 10)}, func(b *bubble) {
		p := b.beginData("192.0.2.1")
		b.running.Go(func() {
			for range 120 {
				io.WriteString(p.conn, text(2<<10))
				time.Sleep(time.Second)
			}
			io.WriteString(p.conn, ".\r\n")
		})
		time.Sleep(110 * time.Second)
		other := b.beginDataOrNot("192.0.2.2")
		if other != nil {
			other.send(text(200<<10) + ".\r\n")
			other.want("452 4.3.1")
			other.conn.Close()
		}
		p.want("250")
		p.conn.Close()
	})
}

// When all connections are taken, the one that has been idle for longest gives way, strangers first.
func TestIdleGiveWay(t *testing.T) {
	inBubble(t, Config{MaxConns: 3}, func(b *bubble) {
		mine := b.dial("")
		mine.want("220")
		time.Sleep(5 * time.Second)
		first := b.dial("192.0.2.1")
		first.want("220")
		time.Sleep(time.Second)
		strangers := []*peer{first, b.beginData("192.0.2.2")}
		refused := b.dial("192.0.2.3")
		refused.want("421 4.7.0")
		time.Sleep(11 * time.Second)
		for i, s := range strangers {
			taken := b.dial("192.0.2.4")
			b.running.Go(func() { s.conn.Write([]byte("x")) }) // bytes that complete nothing are no progress
			synctest.Wait()
			s.want("421 4.3.2")
			s.conn.Close()
			taken.want("220")
			if i == 0 {
				taken.talk("HELO me", "250")
			}
		}
		b.dial("192.0.2.5").want("220")
		mine.want("421 4.3.2")
		b.dial("192.0.2.5").want("421 4.7.0")
		mine.conn.Close()
	})
}
