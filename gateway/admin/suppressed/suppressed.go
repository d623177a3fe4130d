// Package suppressed shows and changes the list of addresses that get no mail, for the API, the page and commands.
package suppressed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/mime/hostname"
	"mailhatch/upstream"
)

// Suppression is an address on the list.
type Suppression struct {
	Address  string                  `json:"address"`
	Domain   string                  `json:"domain,omitempty"`   // of the senders whose mail it concerns; "": all
	Reason   queue.SuppressionReason `json:"reason,omitempty"`   // "" of what is added: manual
	At       time.Time               `json:"at,omitzero"`        // when it happened
	Until    time.Time               `json:"until,omitzero"`     // zero: for good
	By       string                  `json:"by,omitempty"`       // who put it there; "": an event did
	ID       string                  `json:"id,omitempty"`       // queue id of the mail that the event was about
	Upstream string                  `json:"upstream,omitempty"` // whose event or list it was
	Event    string                  `json:"event,omitempty"`    // the provider's name of the event
	Words    string                  `json:"words,omitempty"`    // the provider's, or a person's
}

// Filter chooses entries: those that all of its fields agree to.
type Filter struct {
	Address string // matches within addresses, unless it is a whole one or has * or ?
	Domain  string // of senders
	Reason  string
	After   string // Suppressions.Next of the page before
	Limit   int    // 0: as many as a page holds
}

// Suppressions are a part of the list, the newest entries first.
type Suppressions struct {
	Entries []Suppression `json:"entries"`
	Next    string        `json:"next,omitempty"` // Filter.After of the next page; "" after the last
}

// MaxPage is how many entries a page or a request holds.
const MaxPage = 1000

// Addition asks for entries to be put on the list.
type Addition struct {
	Entries []Suppression `json:"entries"`
}

// Removal asks for addresses to be taken off the list.
type Removal struct {
	Addresses []string `json:"addresses"`
	Domain    *string  `json:"domain,omitempty"`   // of senders; "": the entries for all senders; missing: each
	Upstream  string   `json:"upstream,omitempty"` // whose provider takes them off its list too
}

// Import asks for the list of a provider.
type Import struct {
	Upstream string `json:"upstream"`
	Domain   string `json:"domain,omitempty"` // of the senders whose mail its entries concern; "": all
}

// Added is what was put on the list.
type Added struct {
	Read    int `json:"read"`    // entries that were given
	Added   int `json:"added"`   // of these, that are new or replace others
	Skipped int `json:"skipped"` // entries of a provider that are not addresses
}

// Removed is what was taken off the list.
type Removed struct {
	Entries  []Suppression `json:"entries"`
	Missing  []string      `json:"missing,omitempty"`  // addresses that are not on the list
	Provider []string      `json:"provider,omitempty"` // addresses that the provider has taken off, if they were there
}

// BadRequestError is a request that cannot be followed as it is.
type BadRequestError struct{ Words string }

// Error returns what is wrong.
func (e *BadRequestError) Error() string { return e.Words }

func badf(format string, args ...any) error { return &BadRequestError{fmt.Sprintf(format, args...)} }

// Lister is what shows the list: a queue.Engine or a queue.Reader.
type Lister interface {
	Suppressions(ctx context.Context, f queue.SuppressionFilter) ([]queue.Suppression, error)
}

// List returns a page of the list.
func List(ctx context.Context, l Lister, f Filter) (*Suppressions, error) {
	if f.Reason != "" && !slices.Contains(queue.SuppressionReasons(), queue.SuppressionReason(f.Reason)) {
		return nil, badf("no reason %q; the reasons are %s", f.Reason, reasons())
	}
	if f.Limit <= 0 || f.Limit > MaxPage {
		f.Limit = MaxPage
	}
	list, err := l.Suppressions(ctx, queue.SuppressionFilter{Address: search.Address(f.Address), Domain: f.Domain, Reason: queue.SuppressionReason(f.Reason),
		After: f.After, Limit: f.Limit + 1})
	if err != nil {
		return nil, err
	}
	p := &Suppressions{Entries: make([]Suppression, 0, len(list))}
	for i := range list {
		if i == f.Limit {
			p.Next = list[i-1].Key
			break
		}
		p.Entries = append(p.Entries, newEntry(&list[i]))
	}
	return p, nil
}

func newEntry(s *queue.Suppression) Suppression {
	return Suppression{Address: s.Address, Domain: s.Domain, Reason: s.Reason, At: s.At, Until: s.Until, By: s.By, ID: s.ID, Upstream: s.Upstream, Event: s.EventKey, Words: s.Words}
}

func reasons() string {
	var names []string
	for _, r := range queue.SuppressionReasons() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// Desk changes the list.
type Desk struct {
	List     queue.Suppressions
	Provider func(name string) (upstream.Suppressor, error) // of an upstream of the config; the error is the asker's
	Keep     func() time.Duration                           // how long entries of a provider stay; 0: for good
	Acted    func(journal.Operation)                        // is told of what operators did; nil: nobody
	Now      func() time.Time
}

// Add puts entries on the list in the name of somebody.
func (d *Desk) Add(ctx context.Context, a Addition, by string) (*Added, error) {
	if len(a.Entries) == 0 || len(a.Entries) > MaxPage {
		return nil, badf("a request names from 1 to %d entries, not %d", MaxPage, len(a.Entries))
	}
	list := make([]queue.Suppression, len(a.Entries))
	for i := range a.Entries {
		var err error
		if list[i], err = d.suppression(&a.Entries[i], by); err != nil {
			return nil, err
		}
	}
	added, err := d.List.Suppress(ctx, list...)
	if err != nil {
		return nil, err
	}
	if added > 0 {
		d.acted("suppress", by, describe(list), added, "")
	}
	return &Added{Read: len(list), Added: added}, nil
}

// suppression checks and completes an entry that somebody wrote.
func (d *Desk) suppression(e *Suppression, by string) (s queue.Suppression, err error) {
	now := d.Now()
	s = queue.Suppression{Address: e.Address, Domain: strings.ToLower(strings.TrimPrefix(e.Domain, "@")), Reason: cmp.Or(e.Reason, queue.ReasonManual), At: e.At, Until: e.Until,
		By: cmp.Or(e.By, by), ID: e.ID, Upstream: e.Upstream, EventKey: e.Event, Words: e.Words}
	if s.At.IsZero() {
		s.At = now
	}
	if s.Address, err = address(e.Address); err != nil {
		return s, err
	}
	switch {
	case !slices.Contains(queue.SuppressionReasons(), s.Reason):
		return s, badf("%s: no reason %q; the reasons are %s", s.Address, s.Reason, reasons())
	case s.At.After(now.Add(time.Minute)):
		return s, badf("%s: at is in the future", s.Address)
	case !s.InForce(now):
		return s, badf("%s: until is in the past", s.Address)
	case len(s.Words) > maxWords:
		return s, badf("%s: words are longer than %d bytes", s.Address, maxWords)
	case s.Domain != "" && hostname.Check(s.Domain) != nil:
		return s, badf("%s: the sender domain %q is not a domain name such as example.com", s.Address, e.Domain)
	}
	return s, nil
}

const maxWords = 1000 // bytes

// address checks an address; digests, which stand for addresses where the history hides them, are left alone.
func address(text string) (string, error) {
	if strings.HasPrefix(text, "~") && !strings.ContainsAny(text, "@ ") {
		return text, nil
	}
	p, err := mime.ParsePath(strings.TrimSpace(text), "")
	if err == nil && p.Domain == "" || strings.ContainsAny(text, "*?") {
		err = errors.New("write a whole one, such as bob@example.org")
	}
	if err != nil {
		return "", badf("%q is not an address: %v", text, err)
	}
	return p.String(), nil
}

// Remove takes addresses off the list, and off that of a provider, in the name of somebody. What a provider fails to do is an
// error; what was done before it stays done.
func (d *Desk) Remove(ctx context.Context, r Removal, by string) (*Removed, error) {
	if len(r.Addresses) == 0 || len(r.Addresses) > MaxPage {
		return nil, badf("a request names from 1 to %d addresses, not %d", MaxPage, len(r.Addresses))
	}
	if slices.Contains(r.Addresses, "") {
		return nil, badf("the request names no address")
	}
	var provider upstream.Suppressor
	if r.Upstream != "" {
		var err error
		if provider, err = d.Provider(r.Upstream); err != nil {
			return nil, err
		}
	}
	domain := queue.AnyDomain
	if r.Domain != nil {
		domain = strings.ToLower(*r.Domain)
	}
	out := &Removed{Entries: []Suppression{}}
	for _, a := range r.Addresses { // whatever stands on the list can be taken off it
		if provider != nil { // first, so that the next event does not put it back
			if err := provider.Unsuppress(ctx, a); err != nil {
				return nil, fmt.Errorf("%s did not take %s off its list: %w", r.Upstream, a, err)
			}
			out.Provider = append(out.Provider, a)
		}
		lifted, err := d.List.Lift(ctx, domain, a)
		if len(lifted) > 0 || provider != nil {
			d.acted("lift", by, a, len(lifted), r.Upstream)
		}
		if err != nil {
			return nil, err
		}
		if len(lifted) == 0 {
			out.Missing = append(out.Missing, a)
		}
		for i := range lifted {
			out.Entries = append(out.Entries, newEntry(&lifted[i]))
		}
	}
	return out, nil
}

// Import puts the list of a provider on ours, in the name of somebody.
func (d *Desk) Import(ctx context.Context, i Import, by string) (*Added, error) {
	provider, err := d.Provider(i.Upstream)
	if err != nil {
		return nil, err
	}
	if i.Domain != "" && hostname.Check(i.Domain) != nil {
		return nil, badf("the sender domain %q is not a domain name such as example.com", i.Domain)
	}
	all := &Added{}
	err = d.takeAll(ctx, provider, i, by, all)
	if all.Added > 0 { // after an error too
		d.acted("suppress", by, "the list of "+i.Upstream, all.Added, i.Upstream)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// takeAll puts the pages of a provider's list on ours.
func (d *Desk) takeAll(ctx context.Context, provider upstream.Suppressor, i Import, by string, all *Added) error {
	for after := ""; ; {
		list, next, err := provider.Suppressed(ctx, after)
		if err != nil {
			return fmt.Errorf("the list of %s cannot be read: %w", i.Upstream, err)
		}
		if err := d.take(ctx, list, i, by, all); err != nil {
			return err
		}
		if next == "" || next == after {
			return nil
		}
		after = next
	}
}

// take puts a page of a provider's list on ours.
func (d *Desk) take(ctx context.Context, list []upstream.SuppressedAddress, i Import, by string, all *Added) error {
	entries, now, keep := make([]queue.Suppression, 0, len(list)), d.Now(), d.Keep()
	for _, p := range list {
		all.Read++
		a, err := address(p.Address)
		if err != nil {
			all.Skipped++
			continue
		}
		s := queue.Suppression{Address: a, Domain: strings.ToLower(i.Domain), Reason: queue.SuppressionReason(p.Kind.String()), At: p.At, By: by, Upstream: i.Upstream,
			Words: strings.ToValidUTF8(p.Words[:min(len(p.Words), maxWords)], "")}
		if !slices.Contains(queue.SuppressionReasons(), s.Reason) {
			s.Reason = queue.ReasonSuppressed
		}
		if s.At.IsZero() || s.At.After(now) {
			s.At = now
		}
		if keep > 0 { // the provider has it now, whenever it came there
			s.Until = now.Add(keep)
		}
		entries = append(entries, s)
	}
	for chunk := range slices.Chunk(entries, MaxPage) {
		n, err := d.List.Suppress(ctx, chunk...)
		if err != nil {
			return err
		}
		all.Added += n
	}
	return nil
}

func describe(list []queue.Suppression) string {
	if len(list) == 1 {
		return list[0].Address
	}
	return fmt.Sprintf("%s and %d more", list[0].Address, len(list)-1)
}

func (d *Desk) acted(action, by, what string, n int, upstream string) {
	if d.Acted != nil {
		d.Acted(journal.Operation{Action: action, By: by, Filter: what, Recipients: n, Upstream: upstream})
	}
}
