package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/trial"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// resend answers POST /api/v1/queue/{id}/resend.
func (s *Server) resend(w http.ResponseWriter, r *http.Request) error {
	var ask api.Resend
	if err := decode(r, &ask); err != nil {
		return err
	}
	out, err := s.Resend(r.Context(), r.PathValue("id"), ask, s.operator(r))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// Resend accepts a message a second time, in the name of somebody. The error wraps queue.ErrNotFound where its bytes are
// not kept.
func (s *Server) Resend(ctx context.Context, id string, ask api.Resend, by string) (*api.Resent, error) {
	if s.cfg.Resend == nil {
		return nil, &requestError{http.StatusNotImplemented, "this gateway cannot send messages again"}
	}
	if ask.Via != "" {
		if err := s.checkTarget(ask.Via); err != nil {
			return nil, err
		}
	}
	out, err := s.cfg.Resend(ctx, id, ask, by)
	if err != nil {
		return nil, err
	}
	if s.cfg.Acted != nil {
		words := fmt.Sprintf("%s as %s", id, out.ID)
		if len(ask.To) > 0 {
			words += " to=" + strings.Join(ask.To, ",")
		}
		s.cfg.Acted(journal.Operation{Action: "resend", By: by, Filter: words, Messages: 1, Recipients: len(out.To), Upstream: ask.Via})
	}
	return out, nil
}

const maxWait = time.Minute // that a request may take to tell what became of mail

// waitOf returns the parameter wait of a request, which then may take that long.
func waitOf(w http.ResponseWriter, r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, badRequest("wait %q is not a duration of up to 60s", text)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(wait + readTimeout)) // else that of requests ends the context
	return wait, nil
}

// Retry makes queued and failed parts of a selection due now, tries their upstreams at once where these are closed, and
// says what became of the mail, for which it waits so long at most; 0: it does not.
func (s *Server) Retry(ctx context.Context, sel api.Selection, by string, wait time.Duration) (*api.Changed, error) {
	if sel.DryRun {
		return s.act(ctx, api.Retry, sel, by)
	}
	f, err := chosen(sel.Filter(), time.Now())
	if err != nil {
		return nil, err
	}
	chosen, err := s.first(ctx, f)
	if err != nil {
		return nil, err
	}
	return s.try(ctx, chosen, wait, func() (*api.Changed, error) {
		out, err := s.act(ctx, api.Retry, sel, by)
		if err != nil {
			return nil, err
		}
		for _, lane := range s.lanesOf(ctx, chosen) {
			if s.cfg.Steer != nil {
				_ = s.cfg.Steer(ctx, lane, api.Probe, by) // why it is not tried is why its mail waits
			}
		}
		return out, nil
	})
}

// first returns the first messages of a choice, with the parts that are chosen.
func (s *Server) first(ctx context.Context, f queue.Filter) ([]queue.Message, error) {
	list, err := s.cfg.Queue.List(ctx, f, queue.Page{Limit: maxPage})
	if err != nil {
		return nil, err
	}
	for i := range list {
		m := &list[i]
		var parts []queue.Part
		for j := range m.Parts {
			if p := named(&f, m, &m.Parts[j]); p != nil {
				parts = append(parts, *p)
			}
		}
		m.Parts = parts
	}
	return list, nil
}

// lanesOf returns the lanes of messages; where there may be more messages than these, those of all that is queued.
func (s *Server) lanesOf(ctx context.Context, list []queue.Message) []string {
	lanes := map[string]bool{}
	for i := range list {
		for j := range list[i].Parts {
			lanes[list[i].Parts[j].Lane] = true
		}
	}
	if len(list) == maxPage {
		all, err := s.cfg.Queue.Lanes(ctx)
		if err == nil {
			for lane := range all {
				lanes[lane] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(lanes))
}

// try makes messages due by a change, and says what became of them.
func (s *Server) try(ctx context.Context, list []queue.Message, wait time.Duration, change func() (*api.Changed, error)) (*api.Changed, error) {
	if wait == 0 || s.cfg.Why == nil {
		return change()
	}
	t, err := trial.Begin(ctx, s.cfg.Queue, s.cfg.Why, list)
	if err != nil {
		return nil, err
	}
	out, err := change()
	if err != nil {
		return nil, err
	}
	out.Tried, err = t.Await(ctx, wait)
	return out, err
}

// flush answers POST /api/v1/flush.
func (s *Server) flush(w http.ResponseWriter, r *http.Request) error {
	wait, err := waitOf(w, r)
	if err != nil {
		return err
	}
	if s.cfg.Flush == nil {
		return &requestError{http.StatusNotImplemented, "this gateway delivers nothing"}
	}
	ctx := r.Context()
	chosen, err := s.first(ctx, queue.Filter{State: envelope.Queued})
	if err != nil {
		return err
	}
	out, err := s.try(ctx, chosen, wait, func() (*api.Changed, error) {
		lanes, err := s.cfg.Queue.Lanes(ctx)
		if err != nil {
			return nil, err
		}
		out := &api.Changed{More: len(chosen) == maxPage}
		for _, lane := range slices.Sorted(maps.Keys(lanes)) {
			if lane == waiting.DigestLane {
				continue
			}
			if err := s.cfg.Flush(ctx, lane); err != nil {
				return nil, err
			}
		}
		for i := range chosen {
			out.Changed++
			for j := range chosen[i].Parts {
				out.Recipients += len(chosen[i].Parts[j].To)
			}
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}
