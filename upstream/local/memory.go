package local

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"mailhatch/upstream"
)

// MemoryKind is kind memory.
func MemoryKind() upstream.Kind {
	return upstream.Kind{Name: "memory", Doc: "keeps the last messages in memory, for tests",
		Traits: localTraits(), New: func() upstream.Settings { return &memorySettings{Keep: defaultKeep} }}
}

// memorySettings are the keys of an upstream that keeps the last messages in memory.
type memorySettings struct {
	Keep    int               `toml:"keep"`    // messages; older ones go. Their bytes are bounded too
	Timeout upstream.Duration `toml:"timeout"` // every kind has it; nothing here takes time
}

const (
	defaultKeep = 100
	maxKeep     = 100_000
	maxStored   = 64 << 20 // of all messages together
)

// Open makes an empty memory.
func (s *memorySettings) Open(upstream.Env) (upstream.Upstream, error) {
	if s.Keep < 1 || s.Keep > maxKeep {
		return nil, &upstream.KeyError{Key: "keep", Problem: "must be between 1 and 100000"}
	}
	return &Memory{keep: s.Keep, maxBytes: maxStored}, nil
}

// Memory is the upstream of kind memory: tests and the admin API read what it was given.
type Memory struct {
	keep     int
	maxBytes int64

	mu       sync.Mutex
	messages []Stored // oldest first
	bytes    int64
}

// Stored is one mail that was sent.
type Stored struct {
	ID     string
	Time   time.Time
	From   string               // envelope sender
	To     []upstream.Recipient // envelope recipients, those in Bcc included
	Source []byte               // header and body; the start of it where Cut
	Cut    bool                 // the message alone is larger than the memory
}

// Send keeps m.
func (u *Memory) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	err := ctx.Err()
	if err == nil {
		err = u.add(m)
	}
	return sameOutcome(m, err)
}

// add makes room before it reads m: several large messages at a time would need several times the memory.
func (u *Memory) add(m *upstream.Mail) error {
	size := m.Message.Source.Size()
	msg := Stored{ID: m.ID, Time: time.Now(), From: m.From, To: slices.Clone(m.To), Cut: size > u.maxBytes}
	size = min(size, u.maxBytes)
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.messages) >= u.keep || u.bytes+size > u.maxBytes {
		u.bytes -= int64(len(u.messages[0].Source))
		u.messages[0] = Stored{} // the array behind the slice lets go of it
		u.messages = u.messages[1:]
	}
	msg.Source = make([]byte, size)
	if _, err := io.ReadFull(m.Message.Reader(), msg.Source); err != nil {
		return err
	}
	u.messages = append(u.messages, msg)
	u.bytes += size
	return nil
}

// Messages returns what is kept, oldest first. The sources must not be changed.
func (u *Memory) Messages() []Stored {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.messages)
}
