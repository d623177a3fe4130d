// Package calls counts the calls of a store that run, for which its Close waits, and lends a pool of connections to none but those.
package calls

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"mailhatch/gateway/queue"
)

// Calls counts those that run. The zero value is ready.
type Calls struct {
	mu      sync.Mutex
	closed  bool
	refused error // why none may begin yet; nil: they may
	idle    sync.WaitGroup
}

// Enter begins a call that Shut waits for; Leave ends it.
func (c *Calls) Enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil && !c.closed {
		return c.refused
	}
	return c.begin()
}

// EnterEarly is Enter for who makes the store ready: it does not heed Refuse.
func (c *Calls) EnterEarly() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin()
}

func (c *Calls) begin() error {
	if c.closed {
		return queue.ErrClosed
	}
	c.idle.Add(1)
	return nil
}

// Refuse has Enter return err from now on; nil: calls may begin. What was written before is seen by those that begin then.
func (c *Calls) Refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = err
}

// Refused returns why no call may begin yet; nil: calls may.
func (c *Calls) Refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// Leave ends a call.
func (c *Calls) Leave() {
	c.idle.Done()
}

// Shut waits for the running calls and lets no others begin. It reports whether it was the first to do so.
func (c *Calls) Shut() bool {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	c.idle.Wait()
	return first
}

// Pool is a pool of connections each use of which is a call.
type Pool struct {
	*pgxpool.Pool
	Calls *Calls
}

// Exec is that of pgxpool.Pool.
func (p Pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := p.Calls.Enter(); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer p.Calls.Leave()
	return p.Pool.Exec(ctx, sql, args...)
}

// Query is a call until its rows are closed or read.
func (p Pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := p.Calls.Enter(); err != nil {
		return nil, err
	}
	rows, err := p.Pool.Query(ctx, sql, args...)
	if err != nil {
		p.Calls.Leave()
		return nil, err
	}
	return &askedRows{Rows: rows, leave: sync.OnceFunc(p.Calls.Leave)}, nil
}

// QueryRow is that of pgxpool.Pool.
func (p Pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := p.Calls.Enter(); err != nil {
		return failedRow{err}
	}
	return askedRow{p.Pool.QueryRow(ctx, sql, args...), p.Calls.Leave}
}

// SendBatch is that of pgxpool.Pool.
func (p Pool) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := p.Calls.Enter(); err != nil {
		return failedBatch{err: err}
	}
	return &askedBatch{p.Pool.SendBatch(ctx, b), sync.OnceFunc(p.Calls.Leave)}
}

type askedRows struct {
	pgx.Rows
	leave func()
}

// Next implements pgx.Rows.
func (r *askedRows) Next() bool {
	more := r.Rows.Next()
	if !more {
		r.leave()
	}
	return more
}

func (r *askedRows) Close() {
	r.Rows.Close()
	r.leave()
}

type askedRow struct {
	row   pgx.Row
	leave func()
}

func (r askedRow) Scan(dest ...any) error {
	defer r.leave()
	return r.row.Scan(dest...)
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

type askedBatch struct {
	pgx.BatchResults
	leave func()
}

func (b *askedBatch) Close() error {
	defer b.leave()
	return b.BatchResults.Close()
}

type failedBatch struct {
	pgx.BatchResults
	err error
}

func (b failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b failedBatch) Query() (pgx.Rows, error)         { return nil, b.err }
func (b failedBatch) QueryRow() pgx.Row                { return failedRow{b.err} }
func (b failedBatch) Close() error                     { return b.err }
