package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// chosen returns the filter of the queue that names the same parts.
func chosen(f *api.Filter, now time.Time) (queue.Filter, error) {
	q := queue.Filter{IDs: f.IDs, State: f.State, Lane: f.Upstream, From: search.Address(f.From), To: search.Address(f.To), Subject: search.Text(f.Subject)}
	if err := checkState(f.State); err != nil && f.State != api.InMaildrop {
		return q, err
	}
	if f.Older != "" {
		t, err := search.Since(f.Older, now)
		if err != nil {
			return q, badRequest("older: %v", err)
		}
		q.Before = t
	}
	return q, nil
}

func checkState(s envelope.State) error {
	switch s {
	case "", envelope.Queued, envelope.Held, envelope.Failed:
		return nil
	}
	return badRequest("unknown state %q; the states in the queue are queued, held and failed", s)
}

// named returns a part as far as a filter names it; nil: not at all.
func named(f *queue.Filter, m *queue.Message, p *queue.Part) *queue.Part {
	to := f.Names(m, p)
	if len(to) == 0 {
		return nil
	}
	part := *p
	part.To = to
	return &part
}

// What a dry run shows, and after how many messages it stops.
const (
	maxExamples = 3
	maxTouched  = 100_000
)

// deed is an action and what goes with it.
type deed struct {
	action api.Action
	target string // of Move; "": back to the routes
	// refuses returns why a message cannot be moved; nil: nothing can tell.
	refuses func(ctx context.Context, upstream string, m *queue.Message, to []envelope.Recipient) error
}

// changes reports whether an action does anything to a part; it is what queue.Operator says of each.
func (d *deed) changes(p *queue.Part) bool {
	switch d.action {
	case api.Retry:
		return p.State != envelope.Held
	case api.Hold:
		return p.State == envelope.Queued
	case api.Release:
		return p.State == envelope.Held
	case api.Move:
		if d.target == "" {
			return p.Progress.Moved != ""
		}
		return p.Lane != d.target
	}
	return true
}

// touch is what a deed would do to what a filter names.
type touch struct {
	*api.Changed
	groups map[api.Group]*api.Group // by upstream and state
}

func newTouch() *touch { return &touch{&api.Changed{At: time.Now()}, map[api.Group]*api.Group{}} }

// result returns what was counted.
func (t *touch) result() *api.Changed {
	for _, g := range t.groups {
		t.Groups = append(t.Groups, *g)
	}
	slices.SortFunc(t.Groups, func(a, b api.Group) int {
		return cmp.Or(cmp.Compare(b.Recipients, a.Recipients), cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.State, b.State))
	})
	return t.Changed
}

// each calls do for the messages that a filter names, a page at a time, until it has had enough.
func (s *Server) each(ctx context.Context, f queue.Filter, do func(list []queue.Message) (enough bool, err error)) error {
	for _, ids := range chunks(f.IDs) {
		f.IDs = ids
		for page := (queue.Page{Limit: maxPage}); ; {
			list, err := s.cfg.Queue.List(ctx, f, page)
			if err != nil {
				return err
			}
			if enough, err := do(list); err != nil || enough {
				return err
			}
			if len(list) < page.Limit {
				break
			}
			page.After = list[len(list)-1].ID
		}
	}
	return nil
}

// touched returns what a deed would do to what a filter names.
func (s *Server) touched(ctx context.Context, d *deed, f queue.Filter) (*api.Changed, error) {
	t := newTouch()
	err := s.each(ctx, f, func(list []queue.Message) (bool, error) {
		for i := range list {
			t.add(ctx, d, &f, &list[i])
		}
		t.More = t.Changed.Changed >= maxTouched
		return t.More, nil
	})
	return t.result(), err
}

// add adds what a deed would do to a message, and reports whether it would do anything.
func (t *touch) add(ctx context.Context, d *deed, f *queue.Filter, m *queue.Message) bool {
	var parts []*queue.Part
	var to []envelope.Recipient
	for i := range m.Parts {
		p := named(f, m, &m.Parts[i])
		switch {
		case p == nil || !d.changes(p):
		case d.action == api.Move && !queue.MayMove(p, d.target):
			t.refuse(m, p.To, "its last offer may have been taken: another upstream would send it twice")
		default:
			parts, to = append(parts, p), append(to, p.To...)
		}
	}
	if len(parts) == 0 {
		return false
	}
	if d.refuses != nil {
		if err := d.refuses(ctx, d.target, m, to); err != nil {
			t.refuse(m, to, err.Error())
			return false
		}
	}
	t.count(m, parts)
	return true
}

// maxRefused bounds how many of the recipients that stay are named.
const maxRefused = 1000

func (t *touch) refuse(m *queue.Message, to []envelope.Recipient, why string) {
	t.Stay += len(to)
	if len(t.Refused) >= maxRefused {
		return
	}
	r := api.Refusal{ID: m.ID, Why: why}
	for i := range to {
		r.To = append(r.To, to[i].Address)
	}
	t.Refused = append(t.Refused, r)
}

// count adds parts of a message.
func (t *touch) count(m *queue.Message, parts []*queue.Part) {
	seen := map[*api.Group]bool{}
	shown := api.Message{ID: m.ID, Size: m.Size, Header: m.Header, Envelope: m.Envelope}
	for _, p := range parts {
		key := api.Group{Upstream: p.Lane, State: p.State}
		g := t.groups[key]
		if g == nil {
			g = &api.Group{Upstream: p.Lane, State: p.State}
			t.groups[key] = g
		}
		if !seen[g] {
			seen[g] = true
			g.Messages++
		}
		g.Recipients += len(p.To)
		t.Recipients += len(p.To)
		shown.Parts = append(shown.Parts, newPart(p))
	}
	t.Changed.Changed++
	if len(t.Examples) < maxExamples {
		t.Examples = append(t.Examples, shown)
	}
}
