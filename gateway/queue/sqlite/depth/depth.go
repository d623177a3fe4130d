// Package depth knows how many parts wait without looking at their rows.
package depth

import (
	"sync"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
)

// Load is how many parts there are, with the bytes of their messages, by lane and state.
type Load map[key]sum

type key struct {
	lane  string
	state int64
}

type sum struct {
	parts int
	bytes int64
}

// Count notes that a part came into a state, or left it if sign is -1.
func (l Load) Count(lane string, state, size int64, sign int) {
	k := key{lane, state}
	d := l[k]
	d.parts += sign
	d.bytes += int64(sign) * size
	l[k] = d
}

// Counters are counted once when the store is opened and follow the commits from then on.
type Counters struct {
	mu   sync.Mutex
	load Load
}

// Read counts all rows of parts.
func (c *Counters) Read(conn *sqlite.Conn) error {
	load := Load{}
	err := database.Rows(conn, "SELECT lane, state, size FROM parts", nil, func(s *sqlite.Stmt) (bool, error) {
		load.Count(s.ColumnText(0), s.ColumnInt64(1), s.ColumnInt64(2), 1)
		return true, nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load = load
	return err
}

// Add follows a commit.
func (c *Counters) Add(change Load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, m := range change {
		d := c.load[k]
		d.parts += m.parts
		d.bytes += m.bytes
		if d.parts == 0 {
			delete(c.load, k)
		} else {
			c.load[k] = d
		}
	}
}

// Lanes returns the number of queued parts of each lane that has some.
func (c *Counters) Lanes() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for k, d := range c.load {
		if k.state == row.Queued {
			out[k.lane] = d.parts
		}
	}
	return out
}

// States returns the depth of each state that has parts, but for when the oldest was accepted.
func (c *Counters) States() map[envelope.State]queue.Depth {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[envelope.State]queue.Depth{}
	for k, d := range c.load {
		sum := out[row.State(k.state)]
		sum.Parts += d.parts
		sum.Bytes += d.bytes
		out[row.State(k.state)] = sum
	}
	return out
}
