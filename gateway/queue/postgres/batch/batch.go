// Package batch writes together what comes at once: the more there is, the less each costs, and nothing waits for a timer.
package batch

import (
	"context"
	"sync/atomic"

	"mailhatch/gateway/queue"
)

// Op is something that is to be written, and for which its caller waits.
type Op[T any] struct {
	Item  T
	Err   error // what became of it; its writer sets it
	bytes int
	taken atomic.Bool // by a writer, or given up by its caller
	done  chan struct{}
}

// Batcher gathers what comes at once for its writers.
type Batcher[T any] struct {
	ops       chan *Op[T]
	Most      int // ops of a group
	mostBytes int
}

// waiting is how many ops may wait for a writer before their callers wait to hand theirs over.
const waiting = 1024

// New returns a batcher of groups of no more ops and hardly more bytes than that.
func New[T any](most, mostBytes int) *Batcher[T] {
	return &Batcher[T]{ops: make(chan *Op[T], waiting), Most: most, mostBytes: mostBytes}
}

// Do has an item written and returns what became of it. When ctx ends before a writer has taken it, it is not written, and
// the error is the cause of that.
func (b *Batcher[T]) Do(ctx context.Context, over <-chan struct{}, item T, bytes int) error {
	o := &Op[T]{Item: item, bytes: bytes, done: make(chan struct{})}
	select {
	case <-over:
		return queue.ErrClosed
	default:
	}
	select {
	case b.ops <- o:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-over:
		return queue.ErrClosed
	}
	var reason error
	select {
	case <-o.done:
		return o.Err
	case <-ctx.Done():
		reason = context.Cause(ctx)
	case <-over:
		reason = queue.ErrClosed
	}
	if o.taken.CompareAndSwap(false, true) {
		return reason
	}
	<-o.done
	return o.Err
}

// Run writes what is waiting, group by group, until ctx ends or the store is over.
func (b *Batcher[T]) Run(ctx context.Context, over <-chan struct{}, write func([]*Op[T])) {
	var group []*Op[T]
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case first := <-b.ops:
			group = b.take(group[:0], first)
		}
		if len(group) > 0 {
			write(group)
		}
		for _, o := range group {
			close(o.done)
		}
		clear(group)
	}
}

// take gathers the ops that wait now; it does not wait for more.
func (b *Batcher[T]) take(group []*Op[T], o *Op[T]) []*Op[T] {
	bytes := 0
	for {
		if o.taken.CompareAndSwap(false, true) {
			group = append(group, o)
			bytes += o.bytes
		}
		if bytes >= b.mostBytes || len(group) >= b.Most {
			return group
		}
		select {
		case o = <-b.ops:
		default:
			return group
		}
	}
}

// Settle ends a group with one error.
func Settle[T any](group []*Op[T], err error) {
	for _, o := range group {
		o.Err = err
	}
}
