package canary

import (
	"context"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Stage is how far a canary came.
type Stage string

// The stages at which one can stop.
const (
	StageQueue     Stage = "not_accepted" // the queue does not take it
	StageWaiting   Stage = "waiting"      // it is in the queue
	StageRefused   Stage = "refused"      // the upstream has not taken it
	StageSent      Stage = "sent"         // the upstream has taken it, and nobody says that it arrived
	StageBounced   Stage = "bounced"
	StageElsewhere Stage = "elsewhere" // another upstream has taken it: this one cannot carry it
)

// Fault is what is wrong with an upstream.
type Fault struct {
	Since time.Time `json:"since"` // when the first canary was sent that has not arrived
	ID    string    `json:"id,omitempty"`
	Stage Stage     `json:"stage"`
	Words string    `json:"words,omitempty"` // why: the provider's, or why it waits
}

// State is what is known of the canaries of an upstream.
type State struct {
	ID      string    `json:"id,omitempty"`      // of the latest; "": the queue has not taken it
	At      time.Time `json:"at"`                // when that was sent
	Ended   bool      `json:"ended,omitempty"`   // no more is to be learned of it
	Arrived bool      `json:"arrived,omitempty"` // as far as its upstream says
	Tried   time.Time `json:"tried,omitzero"`    // since when the queue takes none
	Fault   *Fault    `json:"fault,omitempty"`   // nil: there is none. It is not changed once it is there
}

// due reports whether the next canary is to be sent.
func (s *State) due(every time.Duration, now time.Time) bool {
	if !s.Tried.IsZero() {
		every = min(every, retryEvery)
	}
	return s.At.IsZero() || now.Sub(s.At).Abs() >= every // a clock that was wrong may have set it far ahead
}

// fate is what has become of a canary.
type fate struct {
	waits   bool // in the queue
	arrived bool
	unknown bool // an operator has deleted it, or the history has forgotten it
	final   bool // it stops there, for all that is known now
	stage   Stage
	words   string
}

// judge draws the conclusions.
func (s *State) judge(f fate, within time.Duration, now time.Time, excused bool) {
	switch {
	case f.arrived:
		s.Ended, s.Arrived, s.Fault = true, true, nil
	case f.unknown:
		s.Ended = true
	case f.waits && excused && !f.final: // it is meant to wait
	case f.final || now.Sub(s.At) >= within:
		s.fail(f.stage, f.words, s.At)
	}
}

// fail notes what is wrong. What was wrong before goes on.
func (s *State) fail(stage Stage, words string, since time.Time) {
	f := Fault{Since: since, ID: s.ID, Stage: stage, Words: words}
	if was := s.Fault; was != nil {
		if f.Since = was.Since; was.ID == f.ID && was.Stage == f.Stage { // the words of what waits change all the time
			return
		}
	}
	s.Fault = &f
}

// fate looks into the queue and the history.
func (k *Keeper) fate(ctx context.Context, id string, u Upstream) (fate, error) {
	list, err := k.Store.List(ctx, queue.Filter{IDs: []string{id}}, queue.Page{Limit: 1})
	if err != nil {
		return fate{}, err
	}
	for i := range list {
		if len(list[i].Parts) > 0 {
			return k.queued(ctx, &list[i]), nil
		}
	}
	records, err := k.Store.Search(ctx, queue.HistoryFilter{ID: id})
	if err != nil || len(records) == 0 {
		return fate{unknown: true}, err
	}
	worst := fate{arrived: true}
	for i := range records {
		f := ended(&records[i], u)
		if !f.arrived && (worst.arrived || f.final) {
			worst = f
		}
	}
	if worst.stage == StageSent || worst.stage == StageBounced {
		events, err := k.Store.Events(ctx, id)
		if err != nil {
			return fate{}, err
		}
		for _, e := range slices.Backward(events) {
			if e.Told != "" && e.Words != "" {
				worst.words = e.Words
				break
			}
		}
	}
	return worst, nil
}

// queued is the fate of a canary that is in the queue.
func (k *Keeper) queued(ctx context.Context, m *queue.Message) fate {
	for i := range m.Parts {
		if p := &m.Parts[i]; p.State == envelope.Failed {
			return fate{final: true, stage: StageRefused, words: p.Progress.Error}
		}
	}
	return fate{waits: true, stage: StageWaiting, words: k.Why(ctx, m)}
}

// ended is the fate of one of its recipients that has left the queue.
func ended(r *queue.Record, u Upstream) fate {
	switch {
	case r.State.IsSent() && r.Upstream != u.Name:
		return fate{final: true, stage: StageElsewhere, words: r.Upstream + " has taken it instead"}
	case r.State == envelope.Delivered, r.State == envelope.Complained, r.State == envelope.Sent && !u.Confirms:
		return fate{arrived: true}
	case r.State == envelope.Sent:
		return fate{stage: StageSent}
	case r.State == envelope.Bounced:
		return fate{final: true, stage: StageBounced, words: r.Error}
	case r.State == envelope.Discarded:
		return fate{unknown: true, final: true}
	}
	return fate{final: true, stage: StageRefused, words: r.Error}
}
