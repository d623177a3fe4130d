package fleettest

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/gateway/queue"
)

// Memory is a store of what a fleet shares that lasts as long as the process. It is for tests of those who use one.
type Memory struct {
	Lease time.Duration

	mu       sync.Mutex
	err      error
	calls    int
	gateways map[string]queue.Gateway
	turns    map[string]time.Time // of the next offer
	places   map[string]map[string]place
	counts   map[string]count
	locks    map[string]lock
	notes    map[string]queue.Note
	versions map[string]int64
	heard    chan struct{}
}

type (
	place struct{ have, want int }
	count struct {
		n   int
		end time.Time
	}
	lock struct {
		holder string
		until  time.Time
	}
)

// NewMemory returns an empty store.
func NewMemory(lease time.Duration) *Memory {
	return &Memory{Lease: lease, gateways: map[string]queue.Gateway{}, turns: map[string]time.Time{}, places: map[string]map[string]place{},
		counts: map[string]count{}, locks: map[string]lock{}, notes: map[string]queue.Note{}, versions: map[string]int64{}, heard: make(chan struct{}, 1)}
}

// Say makes one gateway hear that a lane was paused or resumed.
func (m *Memory) Say() { m.heard <- struct{}{} }

// Break makes all calls fail with err until it is called with nil.
func (m *Memory) Break(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// Calls returns how many calls were made.
func (m *Memory) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Gateway returns the store as a gateway of this name has it.
func (m *Memory) Gateway(name string) queue.Fleet { return &member{m, name} }

type member struct {
	*Memory
	name string
}

// enter begins a call, which ends by mu.Unlock.
func (m *member) enter(ctx context.Context) error {
	m.mu.Lock()
	m.calls++
	if m.err != nil {
		return m.err
	}
	return ctx.Err()
}

func (m *member) Beat(ctx context.Context, g queue.Gateway) error {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return err
	}
	g.Name, g.Seen = m.name, time.Now()
	m.gateways[m.name] = g
	return nil
}

func (m *member) Gateways(ctx context.Context) ([]queue.Gateway, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	maps.DeleteFunc(m.gateways, func(_ string, g queue.Gateway) bool { return time.Since(g.Seen) > queue.GatewayKept })
	var list []queue.Gateway
	for _, name := range slices.Sorted(maps.Keys(m.gateways)) {
		g := m.gateways[name]
		g.Alive = m.isAlive(name)
		list = append(list, g)
	}
	return list, nil
}

// isAlive reports whether a gateway has given a sign of life within the lease. m.mu is held.
func (m *Memory) isAlive(name string) bool {
	g, ok := m.gateways[name]
	return ok && time.Since(g.Seen) < m.Lease
}

func (m *member) Leave(ctx context.Context) error {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return err
	}
	delete(m.gateways, m.name)
	maps.DeleteFunc(m.locks, func(_ string, l lock) bool { return l.holder == m.name })
	for _, held := range m.places {
		delete(held, m.name)
	}
	return nil
}

func (m *member) Take(ctx context.Context, name string, perSecond float64, n int) (time.Duration, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	now := time.Now()
	interval := time.Duration(float64(time.Second) / perSecond)
	turn := m.turns[name]
	if earliest := now.Add(-time.Second); turn.Before(earliest) {
		turn = earliest
	}
	if perSecond < 1 && turn.Before(now) { // less than one was left
		turn = now
	}
	m.turns[name] = turn.Add(time.Duration(n) * interval)
	return max(turn.Sub(now), 0), nil
}

func (m *member) Occupy(ctx context.Context, name string, limit, want, used int) (int, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	held := m.places[name]
	if held == nil {
		held = map[string]place{}
		m.places[name] = held
	}
	maps.DeleteFunc(held, func(other string, _ place) bool { return other != m.name && !m.isAlive(other) })
	delete(held, m.name)
	others, wanted, wanting := 0, want, 1
	for _, p := range held {
		others += p.have
		wanted += p.want
		if p.want > 0 {
			wanting++
		}
	}
	have := min(want, limit-others)
	if wanted > limit {
		have = min(have, max(1, int(math.Ceil(float64(limit)/float64(wanting)))))
	}
	have = max(have, used, 0)
	held[m.name] = place{have, want}
	return have, nil
}

func (m *member) Count(ctx context.Context, name string, n int, window time.Duration) (int, time.Time, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return 0, time.Time{}, err
	}
	now := time.Now()
	c := m.counts[name]
	if !now.Before(c.end) {
		c = count{end: now.Add(window)}
	}
	c.n += n
	if n > 0 {
		m.counts[name] = c
	}
	return c.n, c.end, nil
}

func (m *member) Lock(ctx context.Context, name string, d time.Duration) (bool, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return false, err
	}
	now := time.Now()
	if l, ok := m.locks[name]; ok && l.holder != m.name && now.Before(l.until) {
		return false, nil
	}
	m.locks[name] = lock{m.name, now.Add(d)}
	return true, nil
}

func (m *member) Unlock(ctx context.Context, name string) error {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return err
	}
	if m.locks[name].holder == m.name {
		delete(m.locks, name)
	}
	return nil
}

func (m *member) Put(ctx context.Context, name string, value []byte) error {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return err
	}
	if len(value) == 0 {
		delete(m.notes, name)
		return nil
	}
	m.versions[name]++
	m.notes[name] = queue.Note{Name: name, Value: slices.Clone(value), By: m.name, At: time.Now(), Version: m.versions[name]}
	return nil
}

func (m *member) Replace(ctx context.Context, name string, value []byte, version int64) (int64, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	if m.notes[name].Version != version {
		return 0, nil
	}
	m.versions[name]++
	m.notes[name] = queue.Note{Name: name, Value: slices.Clone(value), By: m.name, At: time.Now(), Version: m.versions[name]}
	return m.versions[name], nil
}

func (m *member) Heard() <-chan struct{} { return m.heard }

func (m *member) Notes(ctx context.Context, prefix string) ([]queue.Note, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	var list []queue.Note
	for _, name := range slices.Sorted(maps.Keys(m.notes)) {
		if strings.HasPrefix(name, prefix) {
			list = append(list, m.notes[name])
		}
	}
	return list, nil
}
