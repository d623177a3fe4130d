package oauth

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/fakes"
)

// vault is an upstream.Vault in memory.
type vault struct {
	mu       sync.Mutex
	values   map[string][]byte
	versions map[string]int64
	locks    map[string]chan struct{}
	away     error
	late     func() // called before a Set, once
}

func newVault() *vault {
	return &vault{values: map[string][]byte{}, versions: map[string]int64{}, locks: map[string]chan struct{}{}}
}

func (v *vault) Get(_ context.Context, name string) ([]byte, int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.values[name], v.versions[name], v.away
}

func (v *vault) Set(_ context.Context, name string, value []byte, version int64) (int64, error) {
	v.mu.Lock()
	late := v.late
	v.late = nil
	v.mu.Unlock()
	if late != nil {
		late()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away != nil || v.versions[name] != version {
		return 0, v.away
	}
	v.values[name] = value
	v.versions[name]++
	return v.versions[name], nil
}

func (v *vault) Lock(ctx context.Context, name string) (func(), error) {
	v.mu.Lock()
	away := v.away
	if v.locks[name] == nil {
		v.locks[name] = make(chan struct{}, 1)
	}
	lock := v.locks[name]
	v.mu.Unlock()
	if away != nil {
		return nil, away
	}
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *vault) set(away error, late func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.away, v.late = away, late
}

// openAt is what a start of another gateway does.
func (h *house) openAt(v *vault) *Source {
	h.t.Helper()
	env := h.env
	h.env.TokenDir = h.t.TempDir() // its own
	s := h.open()
	h.env = env
	s.Share(v)
	return s
}

// TestOneLoginForAll: who logs in at one gateway does so for all, and from then on one of them renews the token for all.
func TestOneLoginForAll(t *testing.T) {
	h, v := newHouse(t, Device), newVault()
	const life = 2 * time.Second
	h.fake.Set(func(s *fakes.TokenSettings) { s.Life = life })
	all := []*Source{h.openAt(v), h.openAt(v), h.openAt(v)}
	for _, s := range all {
		run(t, s)
		if !s.NeedsLogin() {
			t.Error("nobody has logged in yet")
		}
	}
	if err := all[1].Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		await(t, "the login of another gateway", func() bool { return !s.NeedsLogin() })
	}
	n := len(h.fake.Grants())
	await(t, "renewals", func() bool { return len(h.fake.Grants()) >= n+3 })
	grants := h.fake.Grants()
	for i, at := range grants[1:] {
		if gap := at.Sub(grants[i]); gap < life*7/10 {
			t.Errorf("a token was renewed after %v of %v", gap, life)
		}
	}
	if r := h.fake.Refusals(); r > 0 {
		t.Errorf("%d requests were refused", r)
	}
}

// TestRenewedByAnother: a token that was renewed elsewhere is used without a request, also once the far side has refused the
// one before.
func TestRenewedByAnother(t *testing.T) {
	h, v := newHouse(t, ClientCredentials), newVault()
	a, b := h.openAt(v), h.openAt(v)
	first := h.token(a)
	if h.token(b) != first {
		t.Error("b has a token of its own")
	}
	h.advance(10 * time.Minute)
	h.fake.Revoke()
	if !a.Refused(first) || h.token(a) == first || !b.Refused(first) || h.token(b) != h.token(a) {
		t.Error("the refused token stays, or b has another than a")
	}
	h.wantRequests(2)
	h.advance(2 * time.Hour)
	var wait sync.WaitGroup
	for range 10 {
		for _, s := range []*Source{a, b} {
			wait.Go(func() {
				if _, e := s.Token(t.Context()); e != nil {
					t.Error(e)
				}
			})
		}
	}
	wait.Wait()
	h.wantRequests(3)
}

// TestSealed: who has a copy of the vault has no token, where the settings have a secret.
func TestSealed(t *testing.T) {
	for _, flow := range []string{ClientCredentials, Device} {
		h, v := newHouse(t, flow), newVault()
		s := h.openAt(v)
		if flow == Device {
			if err := s.Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
				t.Fatal(err)
			}
		}
		access := h.token(s)
		if len(v.values) != 1 {
			t.Errorf("%d values", len(v.values))
		}
		public := flow == Device // it has no secret
		for name, value := range v.values {
			if bytes.Contains(value, []byte(access)) != public || bytes.Contains(value, []byte("refresh_token")) != public {
				t.Errorf("%s: %q", flow, value)
			}
			v.values[name] = []byte("damaged")
		}
		if flow == ClientCredentials { // what cannot be read is replaced
			for range 2 {
				if h.token(h.openAt(v)) == access {
					t.Error("the token comes from elsewhere")
				}
			}
			h.wantRequests(2)
			h.settings.ClientSecret = upstream.NewSecret("the next secret")
			h.fake.Set(func(s *fakes.TokenSettings) { s.Secret = "the next secret" })
			h.token(h.openAt(v))
			if len(v.values) != 2 {
				t.Error("gateways before and after a change of the secret have one value")
			}
		}
	}
	h := newHouse(t, ClientCredentials)
	h.settings.ClientSecret, h.settings.KeyFile = upstream.Secret{}, "/nonexistent"
	if secret := h.settings.secret(); len(secret) > 0 {
		t.Errorf("%q", secret)
	}
}

// TestVaultAway: the token at hand goes on, nobody gets another one, and one that could not be stored is stored later.
func TestVaultAway(t *testing.T) {
	h, v := newHouse(t, Device), newVault()
	s := h.openAt(v)
	v.set(errors.New("away"), nil)
	if err := s.Login(t.Context(), func(upstream.LoginCode) {}); err == nil || h.fake.Codes() > 0 {
		t.Errorf("a login that cannot be stored: %v", err)
	}
	if s.NeedsLogin() {
		t.Error("nobody knows whether there is a login")
	}
	v.set(nil, nil)
	if err := s.Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	first, n := h.token(s), h.fake.Requests()
	v.set(errors.New("away"), nil)
	h.advance(50 * time.Minute)
	if h.token(s) != first {
		t.Error("the token is good still")
	}
	h.advance(time.Hour)
	if _, e := s.Token(t.Context()); e == nil || e.Class != upstream.Temporary {
		t.Errorf("a token that nobody may renew: %v", e)
	}
	h.wantRequests(n)

	v.set(nil, func() { v.set(errors.New("away"), nil) }) // between the request and the vault
	second := h.token(s)
	if e := s.Expiries()[0]; second == first || e.Failure == nil {
		t.Errorf("a token that is not stored: %+v", e)
	}
	v.set(nil, nil)
	s.look(t.Context())
	if e := s.Expiries()[0]; e.Failure != nil || h.token(h.openAt(v)) != second {
		t.Errorf("once the vault is back: %+v", e)
	}
	h.wantRequests(n + 1)
	if r := h.fake.Refusals(); r > 0 {
		t.Errorf("%d requests were refused", r)
	}
}

// TestRenewedMeanwhile: a gateway that slept through the end of its lock does not undo what another one has stored since.
func TestRenewedMeanwhile(t *testing.T) {
	h, v := newHouse(t, ClientCredentials), newVault()
	a, b := h.openAt(v), h.openAt(v)
	h.token(a)
	h.advance(2 * time.Hour)
	var theirs string
	v.set(nil, func() {
		v.mu.Lock()
		clear(v.locks) // its time is over
		v.mu.Unlock()
		theirs = h.token(b)
	})
	if got := h.token(a); got != theirs {
		t.Errorf("a has %s, b %s", got, theirs)
	}
	if got := h.token(h.openAt(v)); got != theirs {
		t.Errorf("the vault has %s, b %s", got, theirs)
	}

	// The same of one that could not be stored.
	h.advance(2 * time.Hour)
	v.set(nil, func() { v.set(errors.New("away"), nil) })
	h.token(a)
	v.set(nil, nil)
	theirs = h.token(b)
	a.look(t.Context())
	if got := h.token(a); got != theirs {
		t.Errorf("a has %s, b %s", got, theirs)
	}
}

// TestLoginBeforeTheVault: a login from before the gateways shared theirs is one for all.
func TestLoginBeforeTheVault(t *testing.T) {
	h, v := newHouse(t, Device), newVault()
	if err := h.open().Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	other := h.openAt(v)
	if !other.NeedsLogin() {
		t.Error("another gateway knows of it already")
	}
	s := h.open()
	s.Share(v)
	access := h.token(s)
	other.look(t.Context())
	if other.NeedsLogin() || h.token(other) != access {
		t.Error("another gateway has not heard of it")
	}
	h.advance(2 * time.Hour)
	if h.token(s) != h.token(other) || h.fake.Refusals() > 0 {
		t.Error("they have two tokens")
	}
}
