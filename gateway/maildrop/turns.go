package maildrop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mailhatch/mime/lineend"
	"os"
	"path/filepath"
	"time"
)

const (
	atOnce     = 4           // messages that are taken at the same time
	perAccount = 2           // of one account
	listEvery  = time.Second // while messages are being taken; where listing takes long, ten times as long

	maxFailures = 10 // messages that cannot be taken now, before the others wait too
)

// Limits bound one message.
type Limits struct {
	Size       int64 // bytes; larger ones are refused
	Recipients int   // a message with more is taken several times, for so many each
}

// Each takes all messages that wait, several at once, and removes those for which take returns nil. Accounts
// take turns, each with its oldest message or the next recipients of one with too many. A *Refusal
// moves a message aside and is reported. Any other error leaves the message, or what is left of it, for the
// next call; after maxFailures of them Each ends. It returns what failed. When the program ends between
// take and the removal, the message comes once more. Files of the maildrop that are not messages are
// reported too. report is not called at the same time from several goroutines.
func (b *Box) Each(ctx context.Context, limits Limits, take func(*Drop) error, report func(error)) error {
	p := &pass{Box: b, limits: limits, take: take, report: report,
		skip: map[string]bool{}, running: map[uint32]int{}, served: map[uint32]int{}, results: make(chan result)}
	p.run(ctx)
	if err := errors.Join(p.failed...); err != nil {
		return fmt.Errorf("maildrop: %w", err)
	}
	return nil
}

// pass is one call of Each. Its goroutine keeps the books; others take.
type pass struct {
	*Box
	limits  Limits
	take    func(*Drop) error
	report  func(error)
	waiting map[uint32][]*file // by account
	more    bool               // than waiting
	skip    map[string]bool    // being taken, or failed
	running map[uint32]int     // by account
	served  map[uint32]int     // when an account's last turn was
	turns   int
	busy    int
	results chan result
	failed  []error
}

// result is what became of a turn.
type result struct {
	*file
	of      int // recipients of the message
	turn    int // those whose turn it was
	err     error
	foreign bool // it could not even be claimed
}

func (p *pass) run(ctx context.Context) {
	var next time.Time // when to list again
	for {
		for p.goesOn(ctx) && p.busy < atOnce {
			if f := p.next(); f != nil {
				p.start(f)
				continue
			}
			if p.busy > 0 || !next.IsZero() && !p.more {
				break
			}
			next = p.listAgain()
		}
		if p.busy == 0 {
			return
		}
		select {
		case r := <-p.results:
			p.busy--
			p.running[r.uid]--
			p.settle(r)
		case <-time.After(time.Until(next)):
			if p.goesOn(ctx) {
				next = p.listAgain()
			} else {
				next = time.Now().Add(listEvery)
			}
		}
	}
}

// goesOn reports whether a pass has met so few failures that going on makes sense.
func (p *pass) goesOn(ctx context.Context) bool {
	return ctx.Err() == nil && len(p.failed)+p.busy < maxFailures
}

// listAgain looks for messages and returns when to do so next.
func (p *pass) listAgain() time.Time {
	began := time.Now()
	err := checkOwn(p.dir)
	if err == nil {
		p.waiting, p.more, err = p.list(p.skip, p.report)
	}
	if err != nil {
		p.failed = append(p.failed, err)
		p.waiting, p.more = nil, false
	}
	return time.Now().Add(max(listEvery, 10*time.Since(began)))
}

// next returns the message whose turn it is: of the account that has the fewest now and was served longest ago.
func (p *pass) next() *file {
	var turn uint32
	found := false
	for uid, list := range p.waiting {
		if len(list) == 0 || p.running[uid] >= perAccount {
			continue
		}
		if !found || p.running[uid] < p.running[turn] || p.running[uid] == p.running[turn] && p.served[uid] < p.served[turn] {
			turn, found = uid, true
		}
	}
	if !found {
		return nil
	}
	f := p.waiting[turn][0]
	p.waiting[turn] = p.waiting[turn][1:]
	return f
}

// start has a message taken.
func (p *pass) start(f *file) {
	p.turns++
	p.served[f.uid] = p.turns
	p.running[f.uid]++
	p.busy++
	p.skip[f.name] = true
	go func() { p.results <- p.takeOne(f) }()
}

// takeOne claims a message, so that nobody else can get at it, and hands it to as many recipients as it may have.
func (p *pass) takeOne(f *file) result {
	if !f.claimed {
		if err := os.Rename(filepath.Join(p.dir, f.name), filepath.Join(p.taken, f.name)); err != nil {
			return result{file: f, err: err, foreign: true}
		}
		f.claimed = true
	}
	r := result{file: f}
	r.err = p.offer(&r)
	return r
}

func (p *pass) offer(r *result) error {
	opened, uid, size, err := openDrop(p.path(r.file))
	if err != nil {
		return err
	}
	defer opened.Close()
	if size > p.limits.Size+maxHead {
		return &Refusal{fmt.Errorf("%w: %d bytes is too large", ErrMalformed, size)}
	}
	env, length, body, err := decode(opened, size)
	if err != nil {
		return &Refusal{err}
	}
	if length > p.limits.Size {
		return &Refusal{fmt.Errorf("the message has %d bytes; max_message is %d", length, p.limits.Size)}
	}
	r.of = len(env.To)
	env.To = env.To[min(r.done, r.of):]
	env.To = env.To[:min(len(env.To), p.limits.Recipients)]
	if r.turn = len(env.To); r.turn == 0 {
		return nil // all have had their turn
	}
	return p.take(&Drop{Name: r.name, UID: uid, Envelope: env, Size: length, Body: lineend.Message(body)})
}

// path is where a message that was claimed is.
func (p *pass) path(f *file) string { return filepath.Join(p.taken, f.claimedName()) }

// settle notes what became of a turn.
func (p *pass) settle(r result) {
	var refusal *Refusal
	err := r.err
	switch {
	case r.foreign:
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.reportForeign(r.name, err, p.report)
		}
		return
	case err == nil:
		err = p.advance(r, false)
	case !errors.As(err, &refusal):
	case r.turn < r.of: // the others must not suffer
		p.report(fmt.Errorf("maildrop: recipients %d to %d of %s could not be taken: %w", r.done+1, r.done+r.turn, r.name, refusal))
		err = p.advance(r, true)
	default:
		err = p.setAside(r.file, refusal)
	}
	if err != nil {
		p.failed = append(p.failed, err)
	}
}

// advance goes on to the next recipients of a message, or ends it.
func (p *pass) advance(r result, refused bool) error {
	old := p.path(r.file)
	next := *r.file
	next.done += r.turn
	next.refused = next.refused || refused
	switch {
	case next.done < r.of:
		if err := os.Rename(old, p.path(&next)); err != nil {
			return err
		}
		p.waiting[r.uid] = append(p.waiting[r.uid], &next)
		return nil
	case next.refused:
		return p.setAside(r.file, errors.New("some of its recipients could not be taken, as was reported; the others have it"))
	}
	delete(p.skip, r.name)
	return os.Remove(old)
}

// setAside moves a message to where the operator looks for it.
func (p *pass) setAside(f *file, why error) error {
	to := filepath.Join(p.refused, f.name)
	if err := os.Rename(p.path(f), to); err != nil {
		return err
	}
	if f.done > 0 {
		why = fmt.Errorf("%w (its first %d recipients have had their turn)", why, f.done)
	}
	p.report(fmt.Errorf("maildrop: a message could not be taken and was moved to %s: %w", to, why))
	return nil
}
