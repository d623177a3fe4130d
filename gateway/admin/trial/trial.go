// Package trial follows mail that was made due, until it is known what became of it or why it waits still.
package trial

import (
	"context"
	"slices"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Outcome is what became of recipients since they were made due.
type Outcome string

// The outcomes.
const (
	Sent      Outcome = "sent"
	Refused   Outcome = "refused"   // the upstream was asked, for them or for other mail, and did not take it: they wait
	Uncertain Outcome = "uncertain" // it may have taken them
	Waits     Outcome = "waits"     // nobody was asked
	Held      Outcome = "held"
	Failed    Outcome = "failed" // given up
	Discarded Outcome = "discarded"
)

// Fate is what became of recipients of a message.
type Fate struct {
	ID       string       `json:"id"`
	To       []string     `json:"to"`
	Upstream string       `json:"upstream,omitempty"`
	Outcome  Outcome      `json:"outcome"`
	Words    string       `json:"words,omitempty"`    // the provider's, or why they wait
	WhyCode  waiting.Code `json:"why_code,omitempty"` // of those that wait
}

// Source is what a trial needs of the queue.
type Source interface {
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Search(ctx context.Context, f queue.HistoryFilter) ([]queue.Record, error)
}

// Why tells why each of these messages waits.
type Why func(ctx context.Context, list []queue.Message) (*waiting.View, error)

// Trial follows messages. Make one with Begin, before they are made due.
type Trial struct {
	queue Source
	why   Why
	now   time.Time           // the time of day of the beginning
	began time.Time           // by the time of this machine
	ids   []string            // of messages that are followed still
	open  map[string][]string // their recipients
}

// Begin begins a trial of messages. Their parts are those that are followed.
func Begin(ctx context.Context, q Source, why Why, messages []queue.Message) (*Trial, error) {
	view, err := why(ctx, nil)
	if err != nil {
		return nil, err
	}
	t := &Trial{queue: q, why: why, now: view.Now, began: time.Now(), open: map[string][]string{}}
	for i := range messages {
		m := &messages[i]
		for j := range m.Parts {
			t.open[m.ID] = append(t.open[m.ID], addresses(m.Parts[j].To)...)
		}
		t.ids = append(t.ids, m.ID)
	}
	return t, nil
}

func addresses(to []envelope.Recipient) (list []string) {
	for _, r := range to {
		list = append(list, r.Address)
	}
	return list
}

// Waits between two looks.
const (
	lookFirst = 20 * time.Millisecond
	lookMost  = 500 * time.Millisecond
)

// Await returns what became of the messages, in their order, as soon as that is known of all, and at the latest after
// that time.
func (t *Trial) Await(ctx context.Context, patience time.Duration) ([]Fate, error) {
	deadline := t.began.Add(patience)
	fates := map[string][]Fate{}
	order := slices.Clone(t.ids)
	for pause := lookFirst; ; pause = min(2*pause, lookMost) {
		waits, err := t.look(ctx, fates)
		if err != nil {
			return nil, err
		}
		left := time.Until(deadline)
		if len(t.ids) == 0 || left <= 0 {
			var all []Fate
			for _, id := range order {
				all = append(append(all, fates[id]...), waits[id]...)
			}
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(pause, left)):
		}
	}
}

// look adds to fates what is known now for good, and returns of the others why they wait.
func (t *Trial) look(ctx context.Context, fates map[string][]Fate) (waits map[string][]Fate, err error) {
	list, err := t.queue.List(ctx, queue.Filter{IDs: t.ids}, queue.Page{})
	if err != nil {
		return nil, err
	}
	view, err := t.why(ctx, list)
	if err != nil {
		return nil, err
	}
	waits = map[string][]Fate{}
	inQueue := map[string][]string{}
	for i := range list {
		m := &list[i]
		for j := range m.Parts {
			p := &m.Parts[j]
			to := slices.DeleteFunc(addresses(p.To), func(a string) bool { return !slices.Contains(t.open[m.ID], a) })
			if len(to) == 0 {
				continue
			}
			inQueue[m.ID] = append(inQueue[m.ID], to...)
			f, settled := t.judge(view, m, p)
			f.ID, f.To = m.ID, to
			if settled {
				fates[m.ID] = append(fates[m.ID], f)
				t.close(m.ID, to)
			} else {
				waits[m.ID] = append(waits[m.ID], f)
			}
		}
	}
	for _, id := range t.ids {
		gone := slices.DeleteFunc(slices.Clone(t.open[id]), func(a string) bool { return slices.Contains(inQueue[id], a) })
		if len(gone) == 0 {
			continue
		}
		ended, err := t.ended(ctx, id, gone)
		if err != nil {
			return nil, err
		}
		fates[id] = append(fates[id], ended...)
		t.close(id, gone)
	}
	t.ids = slices.DeleteFunc(t.ids, func(id string) bool { return len(t.open[id]) == 0 })
	return waits, nil
}

// close ends the following of recipients.
func (t *Trial) close(id string, to []string) {
	t.open[id] = slices.DeleteFunc(t.open[id], func(a string) bool { return slices.Contains(to, a) })
}

// judge says what became of a part that is in the queue, and whether that is all that is to be known for now.
func (t *Trial) judge(view *waiting.View, m *queue.Message, p *queue.Part) (f Fate, settled bool) {
	why := view.Of(m, p)
	tried := p.Progress.LastAttempt.After(t.now)
	f = Fate{Upstream: p.Lane, Outcome: Waits, Words: why.Words, WhyCode: why.Code}
	switch {
	case p.State == envelope.Held:
		f.Outcome = Held
		return f, true
	case p.State == envelope.Failed:
		return Fate{Upstream: p.Progress.Upstream, Outcome: Failed, Words: p.Progress.Error}, true
	}
	switch why.Code {
	case waiting.InFlight, waiting.Turn, waiting.Rate, waiting.Probing:
		return f, false
	case waiting.NotServed:
		return f, p.NextAt.After(view.Now) // else it is routed anew in a moment
	}
	u := view.Upstreams[p.Lane]
	if why.Code == waiting.Sender && !tried {
		for i := range u.Refused {
			if r := &u.Refused[i]; r.Covers(p.Progress.RefusedFrom) && r.Tried.After(t.began) {
				return Fate{Upstream: p.Lane, Outcome: Refused, Words: r.Error()}, true
			}
		}
		return f, false // one mail with this From is being tried
	}
	switch {
	case tried && p.Progress.Uncertain:
		return Fate{Upstream: p.Progress.Upstream, Outcome: Uncertain, Words: p.Progress.Error}, true
	case tried:
		return Fate{Upstream: p.Progress.Upstream, Outcome: Refused, Words: p.Progress.Error}, true
	case why.Code == waiting.Retry && p.Progress.RefusedFrom != "":
		return f, false // its From is taken again since: it is due in a moment
	case why.Code != waiting.Closed:
		return f, true
	case u.Tried.After(t.began) && u.State == gate.Closed.String():
		return Fate{Upstream: p.Lane, Outcome: Refused, Words: u.LastError}, true
	}
	return f, false
}

// ended says what became of recipients that have left the queue.
func (t *Trial) ended(ctx context.Context, id string, to []string) (list []Fate, err error) {
	records, err := t.queue.Search(ctx, queue.HistoryFilter{ID: id})
	if err != nil {
		return nil, err
	}
	unseen := slices.Clone(to)
	for i := range records {
		address := records[i].Recipient.Address
		if slices.Contains(to, address) {
			list = add(list, &records[i], address)
			unseen = slices.DeleteFunc(unseen, func(a string) bool { return a == address })
		}
	}
	if len(unseen) == 0 || len(records) == 0 {
		return list, nil
	}
	for _, address := range unseen { // with privacy = "addresses", the history alone knows whose record is whose
		hidden, err := t.queue.Search(ctx, queue.HistoryFilter{ID: id, To: address, Limit: 1})
		if err != nil {
			return nil, err
		}
		for i := range hidden {
			list = add(list, &hidden[i], address)
		}
	}
	return list, nil
}

// add adds what became of a recipient, to those of the same fate if there are any.
func add(list []Fate, r *queue.Record, address string) []Fate {
	f := Fate{ID: r.ID, To: []string{address}, Upstream: r.Upstream, Outcome: Outcome(r.State), Words: r.Error}
	n := slices.IndexFunc(list, func(g Fate) bool {
		return g.Upstream == f.Upstream && g.Outcome == f.Outcome && g.Words == f.Words
	})
	if n < 0 {
		return append(list, f)
	}
	list[n].To = append(list[n].To, address)
	return list
}
