package limit

import (
	"context"
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

const idle = 5 * time.Minute

// admit counts a connection in, which waits for its client.
func admit(t *testing.T, s *Conns) *Conn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	c := s.New(server)
	if err := s.Admit(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// await waits a second for the last connection to leave.
func await(s *Conns) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.Await(ctx)
}

// Replaced, a connection ends once it has waited long enough between two messages, whenever the wait began.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const grace = 10 * time.Second
		s := NewConns(0, 0, idle)
		wait := func(c *Conn, between bool) error {
			start := time.Now()
			if err := c.Arm(start, start.Add(idle), between); err != nil {
				return err
			}
			n, err := c.raw.Read(make([]byte, 1))
			return c.Disarm(n, err)
		}
		ends := func(name string, c *Conn, between bool, want error, after time.Duration) {
			start := time.Now()
			if err := wait(c, between); !errors.Is(err, want) || time.Since(start) != after {
				t.Errorf("%s ends after %v with %v; want %v, %v", name, time.Since(start), err, after, want)
			}
			s.Remove(c)
		}
		waits, works, later := admit(t, s), admit(t, s), admit(t, s)
		go func() {
			time.Sleep(4 * time.Second)
			s.Retire(grace)
		}()
		ends("one that waits", waits, true, ErrReplaced, grace)
		ends("one that waits afterwards", later, true, ErrReplaced, grace)
		ends("one inside a message", works, false, os.ErrDeadlineExceeded, idle)
		if !await(s) {
			t.Error("all have left")
		}
		late, inside := admit(t, s), admit(t, s)
		ends("one that was on its way", late, true, ErrReplaced, grace)
		if err := inside.Ending(true); err != nil {
			t.Errorf("there is time left, but %v", err)
		}
		s.Retire(0)
		if err := inside.Ending(false); err != nil {
			t.Errorf("it is inside a message, but %v", err)
		}
		if err := inside.Ending(true); !errors.Is(err, ErrReplaced) {
			t.Errorf("there is no time left, but %v", err)
		}
		s.Drain()
		if err := inside.Ending(false); !errors.Is(err, ErrDraining) {
			t.Errorf("all is over, but %v", err)
		}
		s.Remove(inside)
	})
}

// When all connections are taken, strangers give way before others, and only after a while.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewConns(2, 0, idle)
		known := admit(t, s)
		known.SetStranger(false)
		time.Sleep(time.Second)
		stranger := admit(t, s)
		if err := s.Admit(s.New(nil)); !errors.Is(err, ErrFull) {
			t.Errorf("a third one gets %v", err)
		}
		time.Sleep(idle / patienceParts)
		third := admit(t, s)
		if err := stranger.Arm(time.Now(), time.Time{}, false); !errors.Is(err, ErrGaveWay) {
			t.Errorf("the stranger gets %v", err)
		}
		if err := known.Arm(time.Now(), time.Time{}, false); err != nil {
			t.Errorf("the other gets %v", err)
		}
		s.Remove(stranger)
		if s.Len() != 2 {
			t.Errorf("%d are open", s.Len())
		}
		s.Drain()
		for _, c := range []*Conn{known, third} {
			if err := c.Arm(time.Now(), time.Time{}, false); !errors.Is(err, ErrDraining) {
				t.Errorf("draining gives %v", err)
			}
			if await(s) {
				t.Error("nobody had left")
			}
			s.Remove(c)
			s.Remove(c)
		}
		if !await(s) {
			t.Error("all have left")
		}
		if err := s.Admit(s.New(nil)); !errors.Is(err, ErrDraining) {
			t.Errorf("a late one gets %v", err)
		}
	})
}

func TestAdmitAddr(t *testing.T) {
	s := NewConns(0, 1, idle)
	a, b := admit(t, s), admit(t, s)
	near, far := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::1")
	if !s.AdmitAddr(a, near) || s.AdmitAddr(b, near.Next()) || !s.AdmitAddr(b, far) {
		t.Error("a network has one connection")
	}
	s.Remove(a)
	if !s.AdmitAddr(admit(t, s), near) {
		t.Error("a network whose connection has left may have another")
	}
}

// What a client holds of a budget is bounded, and given up when it comes too slowly.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1000
		s, b := NewConns(0, 0, idle), NewBudget(size)
		conn := admit(t, s)
		conn.NewPace(1)
		evil, good := NewClient("evil", netip.Addr{}), NewClient("good", netip.Addr{})
		first, second := NewHold(conn, evil), NewHold(admit(t, s), evil)
		if !b.Take(&first, size*8/10) || b.Take(&second, 1) || b.Fits(good, size/2) {
			t.Error("one client may hold four times what is free")
		}
		time.Sleep(time.Minute)
		other := NewHold(admit(t, s), good)
		if !b.Take(&other, size/2) {
			t.Error("a message that does not move keeps others out")
		}
		if err := conn.Disarm(0, nil); err != nil || conn.interruption() != ErrGaveWay {
			t.Errorf("it gets %v", conn.interruption())
		}
		b.Give(&first)
		b.Give(&other)
		if !b.Fits(good, math.MaxInt64) {
			t.Error("the budget is not given back")
		}
	})
}

func TestPace(t *testing.T) {
	s := NewConns(0, 0, idle)
	p := s.New(nil).NewPace(10)
	if p.Limit() != idle {
		t.Errorf("the first wait may take %v", p.Limit())
	}
	p.Add(idle, 10)
	p.Add(idle*9/10, 0)
	if want := idle/10 + time.Second; p.Limit() != want || p.Bytes() != 10 {
		t.Errorf("the wait after %d bytes may take %v, want %v", p.Bytes(), p.Limit(), want)
	}
	p.Add(idle, 0)
	if p.Limit() != 0 {
		t.Errorf("there are %v left", p.Limit())
	}
	if p := s.New(nil).NewPace(0); p.Limit() != idle {
		t.Errorf("any rate: a wait may take %v", p.Limit())
	}
}
