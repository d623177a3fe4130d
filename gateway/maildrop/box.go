package maildrop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
)

// Directories beside the maildrop that are the gateway's alone.
const (
	takenName   = DirName + "-taken"   // what is being taken in
	refusedName = DirName + "-refused" // what could not be; for the operator to look at
)

const (
	partLife  = 24 * time.Hour // a file that has been written for so long never will be whole
	batchSize = 1000           // names that are read at once

	maxFailures = 10 // messages that cannot be taken in now, before the others wait too
)

// Box is the gateway's side of a maildrop. It is used by one goroutine.
type Box struct {
	dir, taken, refused string
	group               bool            // files belong to the gateway's group by themselves
	reported            map[string]bool // foreign files that were reported
}

// Open makes the maildrop of a state directory, and lets everybody pass through that directory. Errors
// wrap ErrUnsafe, ErrUnsupported or those of the file system.
func Open(stateDir string) (*Box, error) {
	b := &Box{dir: filepath.Join(stateDir, DirName), taken: filepath.Join(stateDir, takenName),
		refused: filepath.Join(stateDir, refusedName), reported: map[string]bool{}}
	for _, dir := range []string{b.taken, b.refused} {
		if err := makeDir(dir); err != nil {
			return nil, fmt.Errorf("maildrop: %w", err)
		}
	}
	var err error
	if b.group, err = makeDrop(stateDir, b.dir); err != nil {
		return nil, fmt.Errorf("maildrop: %w", err)
	}
	return b, nil
}

// makeDir makes a directory for the gateway alone.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkOwn(dir)
}

// Private reports whether only the gateway's group can read files of other accounts; when not, their
// unguessable names protect them.
func (b *Box) Private() bool { return b.group }

// Drop is a message of the maildrop.
type Drop struct {
	Name     string             // of its file
	UID      uint32             // of the account that wrote it
	Envelope *envelope.Envelope // what its writer asked for: addresses are not checked, Client is empty
	Size     int64              // bytes of Body
	Body     io.Reader          // header and body with CRLF line ends
}

// Refusal is a message that will never be taken in.
type Refusal struct{ Err error }

// Error returns the reason.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// Each takes all messages that wait, the oldest first, and removes those for which take returns nil.
// A *Refusal moves a message aside and is reported. Any other error leaves the message for the
// next call; after maxFailures of them Each ends. It returns what failed. When the program ends
// between take and the removal, the message comes once more. Files of the maildrop that are not
// messages are reported too.
func (b *Box) Each(ctx context.Context, maxSize int64, take func(*Drop) error, report func(error)) error {
	if err := checkOwn(b.dir); err != nil {
		return fmt.Errorf("maildrop: %w", err)
	}
	left, err := names(b.taken, mailPrefix)
	if err != nil {
		return fmt.Errorf("maildrop: %w", err)
	}
	p := pass{Box: b, maxSize: maxSize, take: take, report: report}
	p.takeAll(ctx, left)
	for p.goesOn(ctx) {
		waiting, err := b.waiting(report)
		if err != nil {
			p.failed = append(p.failed, err)
			break
		}
		claimed := b.claim(waiting, report)
		p.takeAll(ctx, claimed)
		if len(claimed) < batchSize {
			break
		}
	}
	if err := errors.Join(p.failed...); err != nil {
		return fmt.Errorf("maildrop: %w", err)
	}
	return nil
}

// pass is one call of Each.
type pass struct {
	*Box
	maxSize int64
	take    func(*Drop) error
	report  func(error)
	failed  []error
}

// goesOn reports whether a pass has met so few failures that going on makes sense.
func (p *pass) goesOn(ctx context.Context) bool {
	return ctx.Err() == nil && len(p.failed) < maxFailures
}

// entry is a file that waits.
type entry struct {
	name string
	at   time.Time
}

// names lists the messages in a directory of the gateway's own.
func names(dir, prefix string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range list {
		if isName(e.Name(), prefix) {
			found = append(found, e.Name())
		}
	}
	return found, nil
}

// waiting lists up to batchSize messages, the oldest first, and sweeps what was never finished.
func (b *Box) waiting(report func(error)) ([]string, error) {
	d, err := os.Open(b.dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var found []entry
	for len(found) < batchSize {
		list, err := d.ReadDir(batchSize)
		for _, e := range list {
			info, statErr := e.Info()
			if statErr != nil {
				continue // it is gone
			}
			switch name := e.Name(); {
			case isName(name, mailPrefix) && !e.IsDir():
				if !b.reported[name] && len(found) < batchSize {
					found = append(found, entry{name, info.ModTime()})
				}
			case !isName(name, partPrefix):
				b.reportForeign(name, errors.New("it does not belong there"), report)
			case time.Since(info.ModTime()) > partLife:
				_ = os.Remove(filepath.Join(b.dir, name)) // what stays is tried again
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b entry) int { return a.at.Compare(b.at) })
	sorted := make([]string, len(found))
	for i, e := range found {
		sorted[i] = e.name
	}
	return sorted, nil
}

// reportForeign reports once a file that is left where it is.
func (b *Box) reportForeign(name string, err error, report func(error)) {
	const most = 1000 // names that are remembered
	if b.reported[name] || len(b.reported) >= most {
		return
	}
	b.reported[name] = true
	report(fmt.Errorf("maildrop: %q is left alone: %w", filepath.Join(b.dir, name), err))
}

// claim moves messages to where nobody else can get at them.
func (b *Box) claim(waiting []string, report func(error)) []string {
	var claimed []string
	for _, name := range waiting {
		switch err := os.Rename(filepath.Join(b.dir, name), filepath.Join(b.taken, name)); {
		case err == nil:
			claimed = append(claimed, name)
		case !errors.Is(err, fs.ErrNotExist):
			b.reportForeign(name, err, report)
		}
	}
	return claimed
}

func (p *pass) takeAll(ctx context.Context, claimed []string) {
	for _, name := range claimed {
		if !p.goesOn(ctx) {
			return
		}
		err := p.takeOne(name)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			err = p.refuse(name, refusal)
		case err == nil:
			err = os.Remove(filepath.Join(p.taken, name))
		}
		if err != nil {
			p.failed = append(p.failed, err)
		}
	}
}

func (p *pass) takeOne(name string) error {
	f, uid, size, err := openDrop(filepath.Join(p.taken, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if size > p.maxSize+maxHead {
		return &Refusal{fmt.Errorf("%w: %d bytes is too large", ErrMalformed, size)}
	}
	env, length, body, err := decode(f, size)
	if err != nil {
		return &Refusal{err}
	}
	if length > p.maxSize {
		return &Refusal{fmt.Errorf("the message has %d bytes; max_message is %d", length, p.maxSize)}
	}
	return p.take(&Drop{Name: name, UID: uid, Envelope: env, Size: length, Body: CRLF(body)})
}

// refuse moves a message aside.
func (p *pass) refuse(name string, why *Refusal) error {
	to := filepath.Join(p.refused, name)
	if err := os.Rename(filepath.Join(p.taken, name), to); err != nil {
		return err
	}
	p.report(fmt.Errorf("maildrop: a message could not be taken and was moved to %s: %w", to, why))
	return nil
}
