package fleettest

import (
	"errors"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

func TestMemory(t *testing.T) {
	stores := map[string]*Memory{}
	Run(t, Store{Open: func(_ *testing.T, store, gateway string, lease time.Duration) queue.Fleet {
		if stores[store] == nil {
			stores[store] = NewMemory(lease)
		}
		return stores[store].Gateway(gateway)
	}})
}

func TestBreak(t *testing.T) {
	m := NewMemory(time.Minute)
	f, away := m.Gateway("a"), errors.New("away")
	m.Break(away)
	if err := f.Put(t.Context(), "x", []byte("y")); !errors.Is(err, away) {
		t.Error(err)
	}
	m.Break(nil)
	if _, err := f.Notes(t.Context(), ""); err != nil || m.Calls() != 2 {
		t.Error(err, m.Calls())
	}
}
