package oauth

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/fakes"
)

// run starts Run; the function ends it.
func run(t *testing.T, s *Source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("waited in vain for %s", what)
			return
		}
	}
}

// TestRun: the token is renewed while nobody asks for it, once for each life, and no more after the end.
func TestRun(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	const life = time.Second
	h.fake.Set(func(s *fakes.TokenSettings) { s.Life = life })
	s := h.open()
	stop := run(t, s)
	await(t, "renewals", func() bool { return h.fake.Requests() >= 3 })
	stop()
	n := h.fake.Requests()
	grants := h.fake.Grants()
	for i, at := range grants[1:] {
		if gap := at.Sub(grants[i]); gap < life*7/10 {
			t.Errorf("a token was renewed after %v of %v", gap, life)
		}
	}
	time.Sleep(life)
	h.wantRequests(n)
}

// TestRunRenewsForAll: while it runs, those who ask get the old token without delay.
func TestRunRenewsForAll(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	s := h.open()
	first := h.token(s)
	run(t, s)
	await(t, "Run", s.isKept)
	h.advance(50 * time.Minute)
	if got := h.token(s); got != first {
		t.Errorf("the token is %s", got)
	}
	h.wantRequests(1)
	h.advance(20 * time.Minute) // its end: who asks cannot wait
	if got := h.token(s); got == first {
		t.Error("the token is over")
	}
	h.wantRequests(2)
}

// TestRunAndLogin: without a login nothing is asked of the provider; after it the token is kept alive.
func TestRunAndLogin(t *testing.T) {
	h := newHouse(t, Device)
	h.fake.Set(func(s *fakes.TokenSettings) { s.Life = time.Second })
	s := h.open()
	run(t, s)
	await(t, "the failure", func() bool { return len(s.Expiries()) == 1 })
	if e := s.Expiries()[0]; e.Name != "token" || e.Failure == nil || !strings.Contains(e.Failure.Error(), "mailhatch login m365") || !e.At.IsZero() {
		t.Errorf("before the login: %+v", e)
	}
	h.wantRequests(0)
	if err := s.Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	n := len(h.fake.Grants())
	await(t, "renewals", func() bool { return len(h.fake.Grants()) >= n+2 })
	if e := s.Expiries()[0]; e.Failure != nil || e.At.IsZero() {
		t.Errorf("after the login: %+v", e)
	}
	if r := h.fake.Refusals(); r > 0 {
		t.Errorf("%d requests were refused", r)
	}
}

// TestReload: a source and its successor spend a refresh token once.
func TestReload(t *testing.T) {
	h := newHouse(t, Device)
	before := h.open()
	if err := before.Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	h.advance(2 * time.Hour)
	n, after := h.fake.Requests(), h.open()
	var wait sync.WaitGroup
	for i := range 20 {
		s := before
		if i%2 == 0 {
			s = after
		}
		wait.Go(func() {
			if _, e := s.Token(t.Context()); e != nil {
				t.Error(e)
			}
		})
	}
	wait.Wait()
	h.wantRequests(n + 1)
}

// TestRenewalIsNotCutShort: what the provider grants is stored, though nobody waits for it any more.
func TestRenewalIsNotCutShort(t *testing.T) {
	h := newHouse(t, Device)
	s := h.open()
	if err := s.Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	h.advance(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	h.fake.Set(func(s *fakes.TokenSettings) { s.Granted = cancel })
	_, _ = s.Token(ctx)
	n := h.fake.Requests()
	h.token(h.open()) // another start
	h.wantRequests(n)
}

// TestLockedElsewhere: another process renews the token and does not come to an end.
func TestLockedElsewhere(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	s := h.open()
	unlock, err := s.store.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, err := os.OpenFile(s.store.(fileStore).path()+".lock", os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	} else if free := lockFile(f); f.Close() != nil || free {
		t.Skip("there are no locks here")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, e := s.Token(ctx); e == nil || e.Class != upstream.Temporary || !e.Connect {
		t.Errorf("while it is locked: %v", e)
	}
	h.wantRequests(0)
	unlock()
	h.token(s)
	h.wantRequests(1)
}
