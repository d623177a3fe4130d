package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// chosen returns the filter of the queue that names the same parts.
func (f *Filter) chosen(now time.Time) (queue.Filter, error) {
	q := queue.Filter{IDs: f.IDs, State: f.State, Lane: f.Upstream, From: search.Address(f.From), To: search.Address(f.To), Subject: search.Text(f.Subject)}
	if err := checkState(f.State); err != nil {
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

func (s *Selection) filter() *Filter {
	return &Filter{IDs: s.IDs, State: s.State, Upstream: s.Upstream, From: s.From, To: s.To, Subject: s.Subject, Older: s.Older}
}

const maxNamedIDs = 5 // that a log line shows

// String returns the selection in one line, for the record.
func (s *Selection) String() string {
	var words []string
	switch n := len(s.IDs); {
	case n > maxNamedIDs:
		words = append(words, strings.Join(s.IDs[:maxNamedIDs], " ")+" …")
	case n > 0:
		words = append(words, strings.Join(s.IDs, " "))
	default:
		words = append(words, "all")
	}
	for _, w := range [][2]string{{"state", string(s.State)}, {"upstream", s.Upstream}, {"from", s.From}, {"to", s.To}, {"subject", s.Subject}, {"older", s.Older}} {
		if w[1] != "" {
			words = append(words, w[0]+"="+w[1])
		}
	}
	return strings.Join(words, " ")
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

// touched returns what an action would do to what a filter names.
func (s *Server) touched(ctx context.Context, action Action, f queue.Filter) (*Changed, error) {
	out := &Changed{At: time.Now()}
	groups := map[Group]*Group{} // by upstream and state
	for _, ids := range chunks(f.IDs) {
		f.IDs = ids
		page := queue.Page{Limit: maxPage}
		for {
			list, err := s.cfg.Queue.List(ctx, f, page)
			if err != nil {
				return nil, err
			}
			for i := range list {
				out.touch(action, &f, &list[i], groups)
			}
			if out.More = out.Changed >= maxTouched; out.More || len(list) < page.Limit {
				break
			}
			page.After = list[len(list)-1].ID
		}
	}
	for _, g := range groups {
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Recipients, a.Recipients), cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.State, b.State))
	})
	return out, nil
}

// touch adds what an action would do to a message.
func (c *Changed) touch(action Action, f *queue.Filter, m *queue.Message, groups map[Group]*Group) {
	seen := map[*Group]bool{}
	shown := Message{ID: m.ID, Size: m.Size, Header: m.Header, Envelope: m.Envelope}
	for i := range m.Parts {
		p := named(f, m, &m.Parts[i])
		if p == nil || !action.changes(p) {
			continue
		}
		key := Group{Upstream: p.Lane, State: p.State}
		g := groups[key]
		if g == nil {
			g = &Group{Upstream: p.Lane, State: p.State}
			groups[key] = g
		}
		if !seen[g] {
			seen[g] = true
			g.Messages++
		}
		g.Recipients += len(p.To)
		c.Recipients += len(p.To)
		shown.Parts = append(shown.Parts, newPart(p))
	}
	if len(shown.Parts) == 0 {
		return
	}
	c.Changed++
	if len(c.Examples) < maxExamples {
		c.Examples = append(c.Examples, shown)
	}
}
