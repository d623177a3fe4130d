package fleet

import (
	"context"
	"sync"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

const (
	tokenNotes = "token/" // notes with access tokens
	tokenLock  = "token/"

	// tokenTime is how long the lock of a gateway that has died keeps others from a token: longer than a request for one takes.
	tokenTime  = 30 * time.Second
	tokenRetry = 200 * time.Millisecond // between two tries to get the lock
)

// Vault keeps the access tokens of upstreams in the store, for all gateways: upstream.Vault. A gateway has one.
type Vault struct {
	store queue.Fleet
	time  time.Duration // of a lock

	mu    sync.Mutex
	locks map[string]chan struct{} // one token each: somebody of this gateway has the lock
}

var _ upstream.Vault = (*Vault)(nil)

// NewVault returns the vault in a store.
func NewVault(store queue.Fleet) *Vault {
	return &Vault{store: store, time: tokenTime, locks: map[string]chan struct{}{}}
}

// Get implements upstream.Vault.
func (v *Vault) Get(ctx context.Context, name string) (value []byte, version int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	notes, err := v.store.Notes(ctx, tokenNotes+name)
	for _, note := range notes {
		if note.Name == tokenNotes+name {
			return note.Value, note.Version, err
		}
	}
	return nil, 0, err
}

// Set implements upstream.Vault.
func (v *Vault) Set(ctx context.Context, name string, value []byte, version int64) (now int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return v.store.Replace(ctx, tokenNotes+name, value, version)
}

// Lock implements upstream.Vault. The store tells gateways apart, but not who works for one.
func (v *Vault) Lock(ctx context.Context, name string) (unlock func(), err error) {
	own := v.own(name)
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		locked, err := v.tryLock(ctx, name)
		if locked {
			return func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
				defer cancel()
				_ = v.store.Unlock(ctx, tokenLock+name) // else its time ends
				<-own
			}, nil
		}
		if err == nil {
			sleep(ctx, tokenRetry)
			err = ctx.Err()
		}
		if err != nil {
			<-own
			return nil, err
		}
	}
}

func (v *Vault) tryLock(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return v.store.Lock(ctx, tokenLock+name, v.time)
}

// own returns the lock of a name within this gateway.
func (v *Vault) own(name string) chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.locks[name] == nil {
		v.locks[name] = make(chan struct{}, 1)
	}
	return v.locks[name]
}
