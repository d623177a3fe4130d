package admin

import (
	"context"
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// act does something to the parts of a selection.
func (s *Server) act(ctx context.Context, action Action, sel Selection) (*Changed, error) {
	do := map[Action]func(context.Context, queue.Filter) (int, error){
		Retry: s.cfg.Queue.Retry, Hold: s.cfg.Queue.Hold, Release: s.cfg.Queue.Release, Delete: s.cfg.Queue.Delete,
	}[action]
	switch {
	case do == nil:
		return nil, badRequest("unknown action %q; the actions are retry, hold, release and delete", action)
	case sel.All && len(sel.IDs) > 0:
		return nil, badRequest("ids and all exclude each other")
	case !sel.All && len(sel.IDs) == 0:
		return nil, badRequest("no messages are named")
	case !sel.All && (sel.State != "" || sel.Upstream != ""):
		return nil, badRequest("state and upstream go with all")
	}
	if err := checkState(sel.State); err != nil {
		return nil, err
	}
	if !sel.All {
		return s.actOn(ctx, do, sel.IDs)
	}
	changed, err := do(ctx, queue.Filter{State: sel.State, Lane: sel.Upstream})
	if err != nil {
		return nil, err
	}
	return &Changed{Changed: changed}, nil
}

// actOn applies an action to the named messages and returns those that do not exist.
func (s *Server) actOn(ctx context.Context, do func(context.Context, queue.Filter) (int, error), ids []string) (*Changed, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	out := &Changed{}
	for chunk := range slices.Chunk(ids, maxPage) {
		list, err := s.cfg.Queue.List(ctx, queue.Filter{IDs: chunk}, queue.Page{})
		if err != nil {
			return nil, err
		}
		found := messageIDs(list)
		for _, id := range chunk {
			same := func(f string) bool { return strings.EqualFold(f, id) } // engines may write ids in capitals
			if !slices.ContainsFunc(found, same) {
				out.Missing = append(out.Missing, id)
			}
		}
		if len(found) == 0 {
			continue
		}
		n, err := do(ctx, queue.Filter{IDs: found})
		if err != nil {
			return nil, err
		}
		out.Changed += n
	}
	return out, nil
}

func messageIDs(list []queue.Message) []string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

func checkState(s envelope.State) error {
	switch s {
	case "", envelope.Queued, envelope.Held, envelope.Failed:
		return nil
	}
	return badRequest("unknown state %q; the states in the queue are queued, held and failed", s)
}
