package database

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// answerTime is how long the server may say nothing while it is waited for. It ends statements itself before that; one that does
// not hangs, or the network swallows what it says.
const answerTime = StatementTime + 15*time.Second

// bound is a connection on which nothing is waited for longer than most.
type bound struct {
	net.Conn
	most time.Duration

	mu          sync.Mutex
	read, write time.Time // deadlines that were asked for; zero: none
}

// dial makes connections bounded.
func dial(next pgconn.DialFunc, most time.Duration) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &bound{Conn: conn, most: most}, nil
	}
}

func (b *bound) Read(p []byte) (int, error) {
	if err := b.arm(&b.read, b.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	return b.Conn.Read(p)
}

func (b *bound) Write(p []byte) (int, error) {
	if err := b.arm(&b.write, b.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}

// arm sets the deadline of what begins now, unless an earlier one was asked for.
func (b *bound) arm(asked *time.Time, set func(time.Time) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := time.Now().Add(b.most)
	if !asked.IsZero() && asked.Before(at) {
		at = *asked
	}
	return set(at)
}

// SetDeadline implements net.Conn.
func (b *bound) SetDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read, b.write = t, t
	return b.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (b *bound) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = t
	return b.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (b *bound) SetWriteDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write = t
	return b.Conn.SetWriteDeadline(t)
}
