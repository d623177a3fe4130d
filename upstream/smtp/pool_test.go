package smtp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// idleConns counts what the pool keeps.
func idleConns(u *relay) int {
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	return len(u.pool.idle)
}

// await waits for a condition that another goroutine brings about.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestSMTPRedial(t *testing.T) {
	for _, test := range []struct {
		name  string
		react func(smtpStep) smtpReaction // for the second message
		want  string
		dials int
	}{
		{"closed while idle", nil, "ok FAKE2", 2},
		{"421 to the first command", react(upstreamtest.SMTPMail, "", smtpReaction{Reply: "421 4.4.2 idle", Drop: true}), "ok FAKE2", 2},
		{"dropped at the first command", react(upstreamtest.SMTPMail, "", smtpReaction{Drop: true}), "ok FAKE2", 2},
		{"dropped after a reply", react(upstreamtest.SMTPRcpt, "", smtpReaction{Drop: true}), "temporary", 1},
		{"refused by the first command", react(upstreamtest.SMTPMail, "", smtpReaction{Reply: "451 4.3.0 no"}), "temporary 451 4.3.0 outage", 1},
		{"dropped after the dot", react(upstreamtest.SMTPDot, "", smtpReaction{Drop: true}), "uncertain", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var second atomic.Bool
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(step smtpStep) smtpReaction {
				if step.Conn == 1 && second.Load() && test.react != nil {
					return test.react(step)
				}
				return smtpReaction{}
			}})
			u := openSMTP(t, relay, nil)
			upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
			second.Store(true)
			if test.react == nil {
				relay.DropAll()
			}
			upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), test.want)
			if n := relay.Dialed(); n != test.dials {
				t.Errorf("%d connections, want %d", n, test.dials)
			}
			checkFaults(t, relay)
		})
	}
}

func TestSMTPRedialFails(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
	relay.Close()
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "temporary connect")
}

func TestSMTPConnectionAfterFailure(t *testing.T) {
	for _, test := range []struct {
		name  string
		react func(smtpStep) smtpReaction // for the first transaction
		dials int
	}{
		{"RSET after refused recipients", react(upstreamtest.SMTPRcpt, "", smtpReaction{Reply: "550 no"}), 1},
		{"RSET after refused DATA", react(upstreamtest.SMTPData, "", smtpReaction{Reply: "451 no"}), 1},
		{"after a refused message", react(upstreamtest.SMTPDot, "", smtpReaction{Reply: "554 no"}), 2},
		{"421 at the dot", react(upstreamtest.SMTPDot, "", smtpReaction{Reply: "421 no"}), 2},
		{"RSET refused", func(step smtpStep) smtpReaction {
			if step.Stage == upstreamtest.SMTPRset {
				return smtpReaction{Reply: "500 no"}
			}
			return react(upstreamtest.SMTPMail, "", smtpReaction{Reply: "451 no"})(step)
		}, 2},
		{"RSET dropped", func(step smtpStep) smtpReaction {
			if step.Stage == upstreamtest.SMTPRset {
				return smtpReaction{Drop: true}
			}
			return react(upstreamtest.SMTPMail, "", smtpReaction{Reply: "451 no"})(step)
		}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var healed atomic.Bool
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(step smtpStep) smtpReaction {
				if healed.Load() {
					return smtpReaction{}
				}
				return test.react(step)
			}})
			u := openSMTP(t, relay, nil)
			if out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")); out[0].Err == nil {
				t.Error("no failure")
			}
			healed.Store(true)
			upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
			if n := relay.Dialed(); n != test.dials {
				t.Errorf("%d connections, want %d", n, test.dials)
			}
			checkFaults(t, relay)
		})
	}
}

func TestSMTPIdleConnectionsEnd(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	u.pool.maxIdle = 30 * time.Millisecond
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
	await(t, "the idle connection ends", func() bool { return idleConns(u) == 0 && relay.Quits() == 1 })
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE2")
	if n := relay.Dialed(); n != 2 {
		t.Errorf("%d connections", n)
	}
	// One that is too old when it is asked for is not given either.
	u.pool.mu.Lock()
	for _, c := range u.pool.idle {
		c.idleSince = c.idleSince.Add(-time.Hour)
	}
	u.pool.mu.Unlock()
	if c := u.pool.get(); c != nil {
		t.Error("an expired connection was given")
	}
}

func TestSMTPMessagesPerConnection(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"PIPELINING", "LIMITS MAILMAX=3"}})
	u := openSMTP(t, relay, nil)
	for i := range 7 {
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), fmt.Sprint("ok FAKE", i+1))
	}
	if n := relay.Dialed(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func TestSMTPCloseWithSilentRelay(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPQuit, "", smtpReaction{Stall: true})})
	u := openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
	start := time.Now()
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE2") // a late one keeps nothing
	if n := idleConns(u); n != 0 {
		t.Errorf("%d idle connections after Close", n)
	}
	_ = u.Close()
}

func TestSMTPConcurrentSend(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"u": "p"}})
	u := openSMTP(t, relay, func(s *settings) { s.TLS, s.Username, s.Password = "starttls", "u", upstream.NewSecret("p") })
	const senders, each = 16, 20
	var work sync.WaitGroup
	for i := range senders {
		work.Go(func() {
			for j := range each {
				body := fmt.Sprintf("Subject: %d-%d\r\n\r\n.%d\r\n%s", i, j, j, strings.Repeat("line\r\n", i*j))
				out := u.Send(context.Background(), upstreamtest.NewMail(t, body, fmt.Sprintf("r%d-%d@x", i, j)))
				if out[0].Err != nil {
					t.Error(out[0].Err)
				}
			}
		})
	}
	work.Wait()
	got := map[string]string{}
	for _, m := range relay.Taken() {
		got[m.To[0].Address] = string(m.Data)
	}
	for i := range senders {
		for j := range each {
			want := fmt.Sprintf("Subject: %d-%d\r\n\r\n.%d\r\n%s", i, j, j, strings.Repeat("line\r\n", i*j))
			if got[fmt.Sprintf("r%d-%d@x", i, j)] != want {
				t.Errorf("%d-%d came wrong", i, j)
			}
		}
	}
	if n := relay.Dialed(); n > 2*senders {
		t.Errorf("%d connections for %d senders", n, senders)
	}
	checkFaults(t, relay)
}

func TestSMTPOpenErrors(t *testing.T) {
	secret := upstream.NewSecret("p")
	for _, test := range []struct {
		name     string
		settings settings
		keys     []string
	}{
		{"nothing", settings{}, []string{"host"}},
		{"port in host", settings{Host: "mx.example.com:25"}, []string{"host"}},
		{"URL as host", settings{Host: "smtp://mx.example.com"}, []string{"host"}},
		{"everything wrong", settings{Host: "h", Port: 70000, TLS: "ssl", Auth: "magic", Helo: "a b"}, []string{"port", "tls", "helo", "auth", "username"}},
		{"username alone", settings{Host: "h", Username: "u"}, []string{"password"}},
		{"password alone", settings{Host: "h", Password: secret}, []string{"username"}},
		{"mechanism alone", settings{Host: "h", Auth: "plain"}, []string{"username"}},
		{"auth none with username", settings{Host: "h", Auth: "none", Username: "u", Password: secret}, []string{"auth"}},
		{"password in clear", settings{Host: "mx.example.com", TLS: "none", Username: "u", Password: secret}, []string{"tls"}},
		{"password perhaps in clear", settings{Host: "192.0.2.1", TLS: "opportunistic", Username: "u", Password: secret}, []string{"tls"}},
		{"no such ca_file", settings{Host: "h", CAFile: "/nonexistent/ca.pem"}, []string{"ca_file"}},
		{"ca_file without certificate", settings{Host: "h", CAFile: "smtp_pool_test.go"}, []string{"ca_file"}},
		{"good", settings{Host: "h"}, nil},
		{"loopback in clear", settings{Host: "localhost", TLS: "none", Username: "u", Password: secret}, nil},
		{"IPv6 loopback in clear", settings{Host: "::1", TLS: "none", Username: "u", Password: secret}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.settings.Open(upstream.Env{})
			if (err == nil) != (test.keys == nil) {
				t.Fatalf("error %v", err)
			}
			for _, key := range test.keys {
				if !strings.Contains(fmt.Sprint("\n", err), "\n"+key+" ") {
					t.Errorf("no error for %s in %v", key, err)
				}
			}
			var k *upstream.KeyError
			if err != nil && !errors.As(err, &k) {
				t.Errorf("%T", err)
			}
		})
	}
}

func TestSMTPDefaultPorts(t *testing.T) {
	for mode, port := range map[string]int{"": 587, "starttls": 587, "implicit": 465, "opportunistic": 25, "none": 25} {
		u, err := (&settings{Host: "h", TLS: mode}).Open(upstream.Env{Hostname: "gw"})
		if err != nil {
			t.Fatal(err)
		}
		if got := u.(*relay).port; got != port {
			t.Errorf("tls = %q: port %d, want %d", mode, got, port)
		}
	}
}

func BenchmarkSMTPSend4K(b *testing.B) {
	relay := upstreamtest.NewSMTP(b, upstreamtest.SMTPOptions{Discard: true})
	u := openSMTP(b, relay, nil)
	m := upstreamtest.NewMail(b, upstreamtest.PlainMessage+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56), "a@x")
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if out := u.Send(context.Background(), m); out[0].Err != nil {
				b.Error(out[0].Err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkSMTPSend10M(b *testing.B) {
	relay := upstreamtest.NewSMTP(b, upstreamtest.SMTPOptions{Discard: true})
	u := openSMTP(b, relay, nil)
	m := upstreamtest.NewMail(b, upstreamtest.PlainMessage+strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10<<20/78), "a@x")
	b.SetBytes(m.Message.Source.Size())
	b.ReportAllocs()
	for b.Loop() {
		if out := u.Send(context.Background(), m); out[0].Err != nil {
			b.Fatal(out[0].Err)
		}
	}
}
