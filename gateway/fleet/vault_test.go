package fleet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/queue/queuetest/fleettest"
	"mailhatch/upstream"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/upstreamtest/fakes"
)

// TestVaultLock: one gateway at a time, one of those who work for it at a time, and another one once it has died.
func TestVaultLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := fleettest.NewMemory(lease)
		a, b := NewVault(store.Gateway("a")), NewVault(store.Gateway("b"))
		lock := func(v *Vault, patience time.Duration) (func(), error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return v.Lock(ctx, "x")
		}
		unlock, err := lock(a, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]*Vault{"a": a, "b": b} {
			if _, err := lock(v, time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s has a lock that is taken: %v", name, err)
			}
		}
		if other, err := b.Lock(t.Context(), "y"); err != nil {
			t.Error("another lock:", err)
		} else {
			other()
		}
		unlock()
		unlock, err = lock(b, time.Second)
		if err != nil {
			t.Fatal("it is free:", err)
		}
		unlock()

		if _, err = lock(a, time.Second); err != nil { // and it dies
			t.Fatal(err)
		}
		began := time.Now()
		if _, err = lock(b, time.Hour); err != nil || time.Since(began) > tokenTime+time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}

		store.Break(errors.New("away"))
		if _, err := lock(NewVault(store.Gateway("c")), time.Hour); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Error("the store is away:", err)
		}
	})
}

func TestVaultValues(t *testing.T) {
	store := fleettest.NewMemory(lease)
	a, b := NewVault(store.Gateway("a")), NewVault(store.Gateway("b"))
	ctx := t.Context()
	if value, version, err := a.Get(ctx, "x"); value != nil || version != 0 || err != nil {
		t.Error(value, version, err)
	}
	first, err := a.Set(ctx, "x", []byte("1"), 0)
	if first == 0 || err != nil {
		t.Fatal(first, err)
	}
	if _, err := a.Set(ctx, "x2", []byte("another"), 0); err != nil {
		t.Fatal(err)
	}
	if now, err := b.Set(ctx, "x", []byte("2"), 0); now != 0 || err != nil {
		t.Error("b has not seen the first:", now, err)
	}
	if value, version, err := b.Get(ctx, "x"); string(value) != "1" || version != first || err != nil {
		t.Error(value, version, err)
	}
	store.Break(errors.New("away"))
	if _, _, err := b.Get(ctx, "x"); err == nil {
		t.Error("the store is away")
	}
}

// dying is the vault of a gateway that dies when it is about to store a token: its lock stays.
type dying struct {
	*Vault
	die func()
}

func (d dying) Set(context.Context, string, []byte, int64) (int64, error) {
	d.die()
	return 0, errors.New("dead")
}

func (d dying) Lock(ctx context.Context, name string) (func(), error) {
	_, err := d.Vault.Lock(ctx, name)
	return func() {}, err
}

// TestOneTokenForAll: gateways ask a token endpoint once for each life of a token, and once more for one of them that died when
// it had asked.
func TestOneTokenForAll(t *testing.T) {
	const life = 2 * time.Second
	fake := fakes.NewTokens(fakes.TokenSettings{ClientID: "c", Secret: "s", Scope: "send", Life: life})
	t.Cleanup(fake.Close)
	store := fleettest.NewMemory(lease)
	var wait sync.WaitGroup
	began := time.Now()
	start := func(ctx context.Context, name string, vault func(*Vault) upstream.Vault) {
		settings := oauth.Settings{Provider: "custom", Flow: oauth.ClientCredentials, ClientID: "c", ClientSecret: upstream.NewSecret("s"), Scopes: []string{"send"}, TokenURL: fake.URL}
		source, err := settings.Open(upstream.Env{Name: "main", TokenDir: t.TempDir()}, oauth.SMTP, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := NewVault(store.Gateway(name))
		v.time = life // who dies is replaced after it
		source.Share(vault(v))
		wait.Go(func() { _ = source.Run(ctx) })
	}
	await := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("waited in vain for ", what)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer wait.Wait()
	defer stop()
	mortal, die := context.WithCancel(ctx)
	start(mortal, "d", func(v *Vault) upstream.Vault { return dying{v, die} })
	await("a death", func() bool { return mortal.Err() != nil })
	for _, name := range []string{"a", "b", "c"} {
		start(ctx, name, func(v *Vault) upstream.Vault { return v })
	}
	await("tokens", func() bool { return len(fake.Grants()) >= 5 })
	stop()
	wait.Wait()
	const deaths = 1
	lives := int(time.Since(began)/(life*4/5)) + 1
	if n := fake.Requests(); n > lives+deaths {
		t.Errorf("%d requests in %d lives", n, lives)
	}
}
