package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestComesLater(t *testing.T) {
	bind := func(e syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", e)}
	}
	for _, row := range []struct {
		address string
		err     error
		want    bool
	}{
		{"192.0.2.7:25", bind(syscall.EADDRNOTAVAIL), true},
		{"[::1]:25", bind(syscall.EADDRNOTAVAIL), true},
		{"[::1]:25", bind(syscall.EAFNOSUPPORT), true},
		{"[fe80::1%eth0]:25", bind(syscall.EINVAL), true},
		{"[fe80::1]:25", bind(syscall.EINVAL), false}, // it needs a zone: no time will help
		{"192.0.2.7:25", bind(syscall.EADDRINUSE), false},
		{"192.0.2.7:25", bind(syscall.EACCES), false},
		{"mail.example.com:25", &net.DNSError{Err: "no such host", Name: "mail.example.com", IsNotFound: true}, false},
		{"mail.example.com:25", &net.DNSError{Err: "server misbehaving", Name: "mail.example.com", IsTemporary: true}, true},
		{"mail.example.com:25", &net.DNSError{Err: "i/o timeout", Name: "mail.example.com", IsTimeout: true}, true},
		{"unix:/run/x", errors.New("in use by another program"), false},
	} {
		if got := comesLater(row.address, fmt.Errorf("bind: %w", row.err)); got != row.want {
			t.Errorf("%s, %v: %v", row.address, row.err, got)
		}
	}
}

// away is an endpoint whose address is not there until it has come.
func away(address, name string, come *atomic.Bool) Endpoint {
	e := at(address, name)
	open := e.Bind
	e.Bind = func() ([]net.Listener, error) {
		if !come.Load() {
			return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
		}
		return open()
	}
	return e
}

// TestLateAddress: others serve while an address is waited for, through reloads that change its settings, and it
// serves once it is there.
func TestLateAddress(t *testing.T) {
	var come atomic.Bool
	s := New(slog.New(slog.DiscardHandler), func(where string, err error) { t.Errorf("reported %s: %v", where, err) })
	if err := s.Open([]Endpoint{away("192.0.2.7:25", "one", &come), at("b", "two")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() { done <- s.Run(ctx, func() { close(started) }) }()
	<-started
	want := []string{"test 192.0.2.7:25 waits for its address: bind: " + syscall.EADDRNOTAVAIL.Error()}
	check := func(got []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("waiting: %q", got)
		}
	}
	check(s.Waiting())
	if addrs := s.Addrs(); len(addrs) != 1 || ask(t, addrs[0]) != "two" {
		t.Errorf("meanwhile: %v", addrs)
	}
	apply := func(list ...Endpoint) {
		t.Helper()
		c, err := s.Prepare(list)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 2 {
			check(c.Waiting())
		}
		if err := c.Apply(); err != nil {
			t.Fatal(err)
		}
	}
	apply(away("192.0.2.7:25", "three", &come), at("b", "two"))
	check(s.Waiting())
	apply(at("b", "two")) // no longer waited for
	if list := s.Waiting(); list != nil {
		t.Errorf("waiting: %q", list)
	}
	apply(away("192.0.2.7:25", "four", &come), at("b", "two"))
	come.Store(true)
	for end := time.Now().Add(time.Minute); len(s.Addrs()) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the address has come and is not served")
		}
	}
	if addrs := s.Addrs(); ask(t, addrs[0]) != "four" || ask(t, addrs[1]) != "two" || s.Waiting() != nil {
		t.Errorf("after it has come: %v, waiting %q", addrs, s.Waiting())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLateAddressInUse: what keeps an address from being served once it is there is told, once.
func TestLateAddressInUse(t *testing.T) {
	said := make(chan string, 10)
	s := New(slog.New(slog.DiscardHandler), func(where string, err error) { said <- where + " " + err.Error() })
	e, tries := at("192.0.2.7:25", "one"), make(chan struct{}, 100)
	first := true
	e.Bind = func() ([]net.Listener, error) {
		if first {
			first = false
			return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
		}
		tries <- struct{}{}
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if err := s.Open([]Endpoint{e}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func() {}) }()
	<-tries
	<-tries
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if line := <-said; !strings.HasPrefix(line, "test 192.0.2.7:25: bind: ") || len(said) != 0 {
		t.Errorf("reported %q and %d more", line, len(said))
	}
}
