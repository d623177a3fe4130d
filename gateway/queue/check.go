package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/glob"
	"mailhatch/mime"
)

// What follows is the same in every engine.

// Check returns why a message cannot be stored: it has neither parts nor records, a part waits in no
// state that parts have, or an address is not valid UTF-8.
func (m *Accepted) Check() error {
	if len(m.Parts)+len(m.Done) == 0 {
		return errors.New("queue: a message needs at least one part")
	}
	if !utf8.ValidString(m.Envelope.From) {
		return fmt.Errorf("queue: sender %q is not valid UTF-8", m.Envelope.From)
	}
	for i := range m.Parts {
		if err := m.Parts[i].check(); err != nil {
			return err
		}
	}
	for i := range m.Done {
		if err := m.Done[i].check(true); err != nil {
			return err
		}
	}
	return checkAddresses(m.Envelope.To)
}

func checkAddresses(to []envelope.Recipient) error {
	for i := range to {
		if !utf8.ValidString(to[i].Address) {
			return fmt.Errorf("queue: recipient %q is not valid UTF-8", to[i].Address)
		}
	}
	return nil
}

func (p *Part) check() error {
	switch p.State {
	case envelope.Queued, envelope.Held, envelope.Failed:
	default:
		return fmt.Errorf("queue: a part cannot be in state %q", p.State)
	}
	if len(p.To) == 0 {
		return fmt.Errorf("queue: a part for lane %q has no recipient", p.Lane)
	}
	return checkAddresses(p.To)
}

// check refuses states that no record has. What providers tell later, told, has happened to a record of another store alone.
func (r *Record) check(told bool) error {
	switch r.State {
	case envelope.Sent, envelope.Failed, envelope.Discarded, envelope.Refused:
		return checkAddresses([]envelope.Recipient{r.Recipient})
	case envelope.Delivered, envelope.Bounced, envelope.Complained:
		if told {
			return checkAddresses([]envelope.Recipient{r.Recipient})
		}
	}
	return fmt.Errorf("queue: a record cannot be in state %q", r.State)
}

// Check refuses a result that forgets a recipient of the part or has one twice: the first would lose mail,
// the second double it.
func (r *Result) Check(part *Part) error {
	open := map[string]int{}
	whole := part.To
	if r.Instead != nil {
		whole = r.Instead
	}
	for _, to := range whole {
		open[to.Address]++
	}
	for _, rec := range r.Done {
		if err := rec.check(false); err != nil {
			return err
		}
		open[rec.Recipient.Address]--
	}
	for _, p := range r.Parts {
		if err := p.check(); err != nil {
			return err
		}
		for _, to := range p.To {
			open[to.Address]--
		}
	}
	for address, n := range open {
		if n != 0 {
			return fmt.Errorf("queue: the result does not say once what became of %s", address)
		}
	}
	return nil
}

// Names returns the recipients of a part of m that the filter names; it does not look at IDs.
func (f *Filter) Names(m *Message, p *Part) []envelope.Recipient {
	switch {
	case f.State != "" && p.State != f.State, f.Lane != "" && p.Lane != f.Lane,
		!f.Before.IsZero() && !m.Envelope.Received.Before(f.Before),
		!matchesAddress(f.From, m.Envelope.From), !matches(f.Subject, m.Header.Subject):
		return nil
	case f.To == "":
		return p.To
	}
	var to []envelope.Recipient
	for _, r := range p.To {
		if matchesAddress(f.To, r.Address) || matchesAddress(f.To, r.Given) {
			to = append(to, r)
		}
	}
	return to
}

func matchesAddress(pattern, addr string) bool {
	if pattern == "<>" { // the null sender, as SMTP writes it
		return addr == ""
	}
	return matches(mime.AddressText(pattern), mime.AddressText(addr))
}

// AddressText is the text by which addresses are compared with patterns and words.
func AddressText(addr string) string { return strings.ToLower(mime.AddressText(addr)) }

func matches(pattern, text string) bool {
	return pattern == "" || glob.Match(strings.ToLower(pattern), strings.ToLower(text))
}

// OnHold is the progress of a part that an operator puts on hold.
func OnHold(p envelope.Progress, by string, now time.Time) envelope.Progress {
	p.Hold = &envelope.Hold{By: by, At: now}
	return p
}

// Released is the progress of a part that an operator takes off hold: rules may not hold it again.
func Released(p envelope.Progress, now time.Time) envelope.Progress {
	p.Released, p.Hold, p.Asked = true, nil, now
	return p
}

// Renewed is the progress of a part that an operator starts again. What delivery knows of an uncertain
// outcome stays, for it forbids another upstream, and the words of the last failure until there are others.
func Renewed(p envelope.Progress, now time.Time) envelope.Progress {
	life := envelope.Progress{Renewed: now, Released: p.Released, Moved: p.Moved, Followed: p.Followed, Key: p.Key, Turn: p.Turn,
		Error: p.Error, LastAttempt: p.LastAttempt, Gateway: p.Gateway}
	if p.Uncertain {
		life.Uncertain, life.Upstream, life.Since, life.Passed, life.Digest = true, p.Upstream, p.Since, p.Passed, p.Digest
	}
	return life
}

// MayMove reports whether a part may be moved to another lane: not if its last offer to an upstream may have been taken,
// for another would send it twice. Back to the routes, "", goes what was moved.
func MayMove(p *Part, lane string) bool {
	if lane == "" {
		return p.Progress.Moved != ""
	}
	return !p.Interrupted && (!p.Progress.Uncertain || p.Progress.Upstream == lane)
}

// About makes an event that of the recipients of a part.
func (e Event) About(p *Part, attempts int) Event {
	e.To = make([]string, len(p.To))
	for i := range p.To {
		e.To[i] = p.To[i].Address
	}
	e.Upstream, e.Attempts = p.Lane, attempts
	return e
}

// MoveEvent says that an operator has moved parts.
func MoveEvent(lane, by string) Event {
	e := Event{Kind: EventMoved, Lane: lane, By: by}
	if lane == "" {
		e.Words = "back to the routes"
	}
	return e
}

// Moved is the progress of a part that an operator moves to an upstream, whatever was tried before and routes say; or back
// to the routes, "".
func Moved(p envelope.Progress, upstream string, now time.Time) envelope.Progress {
	p.Moved, p.Refused, p.Passed, p.Tries, p.Asked = upstream, false, nil, 0, now
	p.Unfit = slices.DeleteFunc(slices.Clone(p.Unfit), func(name string) bool { return name == upstream })
	return p
}

// Deleted returns what became of the recipients of a part that an operator deletes. A message all of whose recipients were
// discarded leaves no bytes behind, whatever is kept of others.
func Deleted(p *Part, by string) []Record {
	why := "deleted by " + by
	if p.Progress.Error != "" {
		why += "; last error: " + p.Progress.Error
	}
	return ends(p, envelope.Discarded, why)
}

// GivenUp returns what became of the recipients of a failed part that is not kept any longer.
func GivenUp(p *Part) []Record { return ends(p, envelope.Failed, p.Progress.Error) }

func ends(p *Part, s envelope.State, why string) []Record {
	list := make([]Record, len(p.To))
	for i, to := range p.To {
		list[i] = Record{Recipient: to, State: s, Upstream: p.Progress.Upstream, Error: why, Attempts: p.Progress.Attempts}
	}
	return list
}
