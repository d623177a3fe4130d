package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// steer answers POST /api/v1/queue/{action}.
func (s *Server) steer(w http.ResponseWriter, r *http.Request) error {
	var sel api.Selection
	if err := decode(r, &sel); err != nil {
		return err
	}
	action := api.Action(r.PathValue("action"))
	wait, err := waitOf(w, r)
	switch {
	case err != nil:
		return err
	case wait > 0 && action != api.Retry:
		return badRequest("wait goes with retry")
	}
	by := s.operator(r)
	var changed *api.Changed
	if action == api.Retry {
		changed, err = s.Retry(r.Context(), sel, by, wait)
	} else {
		changed, err = s.Act(r.Context(), action, sel, by)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, changed)
}

// operator names who sent a request: the account at the other end of the admin socket, which its listener knows, the
// token of the config, or who opened the page.
func (s *Server) operator(r *http.Request) string {
	by := s.cfg.Access.Caller(r).By
	if by == "" || by == "@" || by[0] == '/' { // a socket whose peer is not known
		return "somebody"
	}
	return by
}

// Act does something to the parts of a selection, or, if it is a dry run, says to which it would. by names who
// asked for it, for the record.
func (s *Server) Act(ctx context.Context, action api.Action, sel api.Selection, by string) (*api.Changed, error) {
	if action == api.Retry {
		return s.Retry(ctx, sel, by, 0)
	}
	return s.act(ctx, action, sel, by)
}

func (s *Server) act(ctx context.Context, action api.Action, sel api.Selection, by string) (*api.Changed, error) {
	d := &deed{action: action, target: sel.Target}
	if err := s.valid(d, &sel); err != nil {
		return nil, err
	}
	f, err := chosen(sel.Filter(), time.Now())
	if err != nil {
		return nil, err
	}
	ids, missing, err := s.existing(ctx, sel.IDs)
	if err != nil || !sel.All && len(ids) == 0 {
		return &api.Changed{Missing: missing}, err
	}
	f.IDs = ids
	var out *api.Changed
	if sel.DryRun {
		out, err = s.touched(ctx, d, f)
	} else {
		out, err = s.change(ctx, d, f, by)
	}
	out.Missing = missing
	if s.cfg.Acted != nil && out.Changed > 0 && !sel.DryRun {
		s.cfg.Acted(journal.Operation{Action: string(action), By: by, Filter: sel.String(), Messages: out.Changed, Recipients: out.Recipients, Upstream: sel.Target})
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// suppressed shows a page of the addresses that get no mail.
func (s *Server) suppressed(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"))
	if err != nil {
		return err
	}
	p, err := suppressed.List(r.Context(), s.cfg.Queue, suppressed.Filter{Address: q.Get("address"), Domain: q.Get("domain"), Reason: q.Get("reason"),
		After: q.Get("after"), Limit: limit})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, p)
}

// suppressions is what changes the addresses that get no mail.
func (s *Server) suppressions() *suppressed.Desk {
	if s.cfg.Suppressed != nil {
		return s.cfg.Suppressed
	}
	return &suppressed.Desk{}
}

// changes answers a request to change the addresses that get no mail.
func changes[Ask, Answer any](s *Server, do func(ctx context.Context, ask Ask, by string) (*Answer, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var ask Ask
		if err := decode(r, &ask); err != nil {
			return err
		}
		answer, err := do(r.Context(), ask, s.operator(r))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, answer)
	}
}

// valid finds what is wrong with a request, and completes the deed.
func (s *Server) valid(d *deed, sel *api.Selection) error {
	switch {
	case d.action != api.Move && s.do(d) == nil:
		return badRequest("unknown action %q; the actions are retry, hold, release, delete and move", d.action)
	case sel.All && len(sel.IDs) > 0:
		return badRequest("ids and all exclude each other")
	case !sel.All && len(sel.IDs) == 0:
		return badRequest("no messages are named")
	case d.action == api.Move && sel.Back:
		if sel.Target != "" {
			return badRequest("target and back exclude each other")
		}
	case d.action == api.Move:
		d.refuses = s.cfg.Carry
		return s.checkTarget(sel.Target)
	case sel.Target != "" || sel.Back:
		return badRequest("target and back go with move")
	}
	return nil
}

// checkTarget makes sure that there is an upstream of that name.
func (s *Server) checkTarget(name string) error {
	var names []string
	if s.cfg.Status != nil {
		for _, u := range s.cfg.Status() {
			names = append(names, u.Name)
		}
	}
	if slices.Contains(names, name) {
		return nil
	}
	return badRequest("no upstream %q; there are %s", name, strings.Join(names, ", "))
}

// do returns what the queue does for a deed that needs no look at the mail; nil: there is no such action.
func (s *Server) do(d *deed) func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return map[api.Action]func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error){
		api.Retry: s.cfg.Queue.Retry, api.Hold: s.cfg.Queue.Hold, api.Release: s.cfg.Queue.Release, api.Delete: s.cfg.Queue.Delete,
	}[d.action]
}

// change applies a deed to what a filter names. After an error the result says what was done before it.
func (s *Server) change(ctx context.Context, d *deed, f queue.Filter, by string) (*api.Changed, error) {
	if d.action == api.Move {
		return s.move(ctx, d, f, by)
	}
	out := &api.Changed{}
	for _, ids := range chunks(f.IDs) {
		f.IDs = ids
		n, err := s.do(d)(ctx, f, by)
		sum(out, n)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// move moves what the target can carry, page by page, as it has to look at each message. What goes back to the routes leaves
// closed upstreams soon.
func (s *Server) move(ctx context.Context, d *deed, f queue.Filter, by string) (*api.Changed, error) {
	t := newTouch()
	moved := &api.Changed{}
	err := s.each(ctx, f, func(list []queue.Message) (bool, error) {
		these := f
		these.IDs = []string{}
		for i := range list {
			if t.add(ctx, d, &f, &list[i]) {
				these.IDs = append(these.IDs, list[i].ID)
			}
		}
		if len(these.IDs) == 0 {
			return false, nil
		}
		n, err := s.cfg.Queue.Move(ctx, these, d.target, by)
		sum(moved, n)
		return false, err
	})
	out := t.result()
	for _, g := range out.Groups {
		if d.target == "" && s.cfg.Reroute != nil {
			s.cfg.Reroute(g.Upstream)
		}
	}
	out.Busy, out.Changed, out.Recipients = out.Recipients-moved.Recipients, moved.Changed, moved.Recipients
	out.At, out.Examples = time.Time{}, nil
	return out, err
}

// sum adds what was changed to what was changed before.
func sum(c *api.Changed, n queue.Changed) {
	c.Changed += n.Messages
	c.Recipients += n.Recipients
	c.Busy += n.Busy
	c.Offered += n.Offered
}

// chunks divides ids for as many calls of the queue; nil, which stands for all messages, is one.
func chunks(ids []string) [][]string {
	if ids == nil {
		return [][]string{nil}
	}
	return slices.Collect(slices.Chunk(ids, maxPage))
}

// existing returns the ids of messages that are in the queue, as the queue writes them, and those that are not.
func (s *Server) existing(ctx context.Context, ids []string) (found, missing []string, err error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for chunk := range slices.Chunk(ids, maxPage) {
		list, err := s.cfg.Queue.List(ctx, queue.Filter{IDs: chunk}, queue.Page{})
		if err != nil {
			return nil, nil, err
		}
		for _, id := range chunk {
			same := func(m queue.Message) bool { return strings.EqualFold(m.ID, id) } // engines may write ids in capitals
			if i := slices.IndexFunc(list, same); i >= 0 {
				found = append(found, list[i].ID)
			} else {
				missing = append(missing, id)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), missing, nil
}
