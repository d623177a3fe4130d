package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// steer answers POST /api/v1/queue/{action}.
func (s *Server) steer(w http.ResponseWriter, r *http.Request) error {
	var sel Selection
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&sel); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return badRequest("the selection cannot be read: %v", err)
	}
	changed, err := s.Act(r.Context(), Action(r.PathValue("action")), sel, s.operator(r))
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
func (s *Server) Act(ctx context.Context, action Action, sel Selection, by string) (*Changed, error) {
	switch {
	case s.do(action) == nil:
		return nil, badRequest("unknown action %q; the actions are retry, hold, release and delete", action)
	case sel.All && len(sel.IDs) > 0:
		return nil, badRequest("ids and all exclude each other")
	case !sel.All && len(sel.IDs) == 0:
		return nil, badRequest("no messages are named")
	}
	f, err := sel.filter().chosen(time.Now())
	if err != nil {
		return nil, err
	}
	out := &Changed{}
	if f.IDs, out.Missing, err = s.existing(ctx, sel.IDs); err != nil {
		return nil, err
	}
	if !sel.All && len(f.IDs) == 0 {
		return out, nil
	}
	if sel.DryRun {
		touched, err := s.touched(ctx, action, f)
		if err != nil {
			return nil, err
		}
		touched.Missing = out.Missing
		return touched, nil
	}
	out.Changed, out.Recipients, err = s.change(ctx, action, f, by)
	if s.cfg.Acted != nil && out.Changed > 0 {
		s.cfg.Acted(journal.Operation{Action: string(action), By: by, Filter: sel.String(), Messages: out.Changed, Recipients: out.Recipients})
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// do returns what the queue does for an action; nil: there is no such action.
func (s *Server) do(action Action) func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error) {
	return map[Action]func(ctx context.Context, f queue.Filter, by string) (queue.Changed, error){
		Retry: s.cfg.Queue.Retry, Hold: s.cfg.Queue.Hold, Release: s.cfg.Queue.Release, Delete: s.cfg.Queue.Delete,
	}[action]
}

// change applies an action to what a filter names, some ids at a time.
func (s *Server) change(ctx context.Context, action Action, f queue.Filter, by string) (messages, recipients int, err error) {
	for _, ids := range chunks(f.IDs) {
		f.IDs = ids
		n, err := s.do(action)(ctx, f, by)
		messages, recipients = messages+n.Messages, recipients+n.Recipients
		if err != nil {
			return messages, recipients, err
		}
	}
	return messages, recipients, nil
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

// changes reports whether an action does anything to a part; it is what queue.Operator says of each.
func (a Action) changes(p *queue.Part) bool {
	switch a {
	case Retry:
		return p.State != envelope.Held
	case Hold:
		return p.State == envelope.Queued
	case Release:
		return p.State == envelope.Held
	}
	return true
}
