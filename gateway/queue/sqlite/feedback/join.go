package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/history"
)

// atMost is how long after its sending something is told of a recipient that names no message.
const atMost = 4 * 24 * time.Hour

// join writes what was told, with a change of its own in the same write. Records that only the provider's id leads to are
// looked for before, so that other changes do not wait for that: what comes meanwhile is found by the next Rejoin.
func (d Desk) join(ctx context.Context, list []waiting, change func(*sqlite.Conn) error) (queue.Applied, error) {
	if err := d.findProviders(ctx, list); err != nil {
		return queue.Applied{}, err
	}
	if err := d.findAddresses(ctx, list); err != nil {
		return queue.Applied{}, err
	}
	var done queue.Applied
	err := d.History.Write(ctx, 4*len(list)+1, func(conn *sqlite.Conn) error {
		j := joint{Desk: d, conn: conn, now: d.History.Now()}
		for i := range list {
			if err := j.one(&list[i]); err != nil {
				return err
			}
		}
		left, dropped, err := bound(conn, queue.JoinMost)
		if err == nil {
			err = change(conn)
		}
		done = j.done
		done.Waiting, done.Dropped = left, done.Dropped+dropped
		return err
	})
	if err != nil {
		return queue.Applied{}, err
	}
	return done, nil
}

// findProviders looks for the records of mail that is known by its provider's id alone.
func (d Desk) findProviders(ctx context.Context, list []waiting) error {
	ids, after := map[string]bool{}, int64(-1)
	for i := range list {
		if w := &list[i]; w.message == 0 && w.provider() != "" {
			ids[w.provider()] = true
			if after < 0 || w.tried < after {
				after = w.tried
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, upTo, err := d.History.ByProvider(ctx, ids, after)
	if err != nil {
		return err
	}
	for i := range list {
		if w := &list[i]; w.message == 0 && w.provider() != "" {
			w.candidates, w.tried = found[w.provider()], upTo
		}
	}
	return nil
}

// findAddresses looks for the last mail before what is told, where that names none.
func (d Desk) findAddresses(ctx context.Context, list []waiting) error {
	for i := range list {
		w := &list[i]
		if w.message != 0 || w.ProviderID != "" || w.Recipient == "" {
			continue
		}
		records, err := d.History.Search(ctx, queue.HistoryFilter{To: w.Recipient, Upstream: w.upstream, Since: w.At.Add(-atMost), Until: w.At.Add(time.Minute), Limit: 1})
		if err != nil {
			return err
		}
		for _, r := range records {
			w.message, _ = queue.ParseID(r.ID)
		}
	}
	return nil
}

// joint is one write.
type joint struct {
	Desk
	conn *sqlite.Conn
	now  time.Time
	done queue.Applied

	heard   map[int64]*heard            // by message
	records map[int64][]*history.Stored // by message; states change there too
}

// one writes one of those that were told.
func (j *joint) one(w *waiting) error {
	if !w.Kind.IsTold() || w.ID == "" && w.ProviderID == "" && w.Recipient == "" {
		j.done.Dropped++
		return w.done(j.conn)
	}
	r, err := j.find(w)
	if err != nil {
		return err
	}
	if r == nil {
		again, err := w.wait(j.conn, j.now)
		if again {
			j.done.Again++
		}
		return err
	}
	if err := j.tell(r, w); err != nil {
		return err
	}
	return w.done(j.conn)
}

// find returns the record that something is told of; nil: there is none.
func (j *joint) find(w *waiting) (*history.Stored, error) {
	list, err := j.candidates(w)
	if err != nil {
		return nil, err
	}
	// Most are told of the address that the record has: the others need not be read.
	for _, is := range []func(*history.Stored) (bool, error){
		func(r *history.Stored) (bool, error) { return j.isOf(w.Recipient, &r.Record), nil },
		func(r *history.Stored) (bool, error) {
			t, err := r.Texts()
			return w.Recipient == "" || t.To.Given != "" && queue.AddressText(t.To.Given) == queue.AddressText(w.Recipient), err
		},
	} {
		var named []*history.Stored
		for _, r := range list {
			ok, err := is(r)
			if ok && err == nil {
				ok, err = w.isAbout(r)
			}
			if err != nil {
				return nil, err
			}
			if ok {
				named = append(named, r)
			}
		}
		if len(named) == 1 || len(named) > 1 && w.Recipient != "" {
			return named[0], nil
		}
	}
	return nil, nil
}

// isAbout reports whether something is told by the upstream that took the mail of a record, under the id that it gave.
func (w *waiting) isAbout(r *history.Stored) (bool, error) {
	t, err := r.Texts()
	return t.Upstream == w.upstream && (w.message != 0 || queue.PlainID(t.ProviderID) == w.provider()), err
}

// candidates reads the records of the message that something is told of, once in a write.
func (j *joint) candidates(w *waiting) (list []*history.Stored, err error) {
	if w.message != 0 {
		if known, ok := j.records[w.message]; ok {
			return known, nil
		}
		stored, err := history.OfMessage(j.conn, w.message)
		for i := range stored {
			list = append(list, &stored[i])
		}
		if j.records == nil {
			j.records = map[int64][]*history.Stored{}
		}
		j.records[w.message] = list
		return list, err
	}
	for _, seq := range w.candidates {
		r, err := history.Record(j.conn, seq)
		if err != nil {
			return nil, err
		}
		if r != nil {
			list = append(list, r)
		}
	}
	return list, nil
}

// tell writes what was told of the recipient of a record.
func (j *joint) tell(r *history.Stored, w *waiting) error {
	rec, err := r.Decode()
	if err != nil {
		return err
	}
	known, err := j.known(r, w)
	if err != nil {
		return err
	}
	told := rec.Told
	if told.IsZero() {
		told = rec.At
	}
	state, changed := w.Kind.After(w.At, rec.State, told)
	if known == again || known != fresh && !changed {
		j.done.Again++
		return nil
	}
	joined := queue.Joined{Told: w.Told, Upstream: w.upstream, From: rec.From, MessageID: rec.Header.MessageID, State: state, Changed: changed}
	joined.ID = rec.ID
	if joined.Recipient == "" {
		joined.Recipient = rec.Recipient.Address
	}
	if changed {
		if joined.Report, err = j.change(r, w, state, rec.From); err != nil {
			return err
		}
	}
	j.done.Joined = append(j.done.Joined, joined)
	if err := errors.Join(j.suppress(&joined), j.forward(&joined)); err != nil {
		return err
	}
	if known != fresh {
		return nil
	}
	e := queue.Event{At: w.At, Kind: w.Kind, To: []string{joined.Recipient}, Upstream: w.upstream, Words: w.Words, Status: w.Status, Told: w.key}
	seen := e
	seen.To = []string{r.Recipient} // as the row has it, hidden or not
	j.heard[r.Message].add(&seen)
	return j.History.AddEvents(j.conn, j.now, r.Message, []queue.Event{e})
}

// suppress puts the recipient on the list of suppressed addresses, or takes it off.
func (j *joint) suppress(told *queue.Joined) error {
	if told.Kind == queue.EventDelivered {
		lifted, err := j.Refused.Delivered(j.conn, queue.SenderDomain(told.From), told.Recipient, told.At)
		j.done.Lifted = append(j.done.Lifted, lifted...)
		return err
	}
	s, due := j.Refused.Due(told)
	if !due {
		return nil
	}
	added, err := j.Refused.Put(j.conn, s)
	if added {
		j.done.Suppressed = append(j.done.Suppressed, s)
	}
	return err
}

// change gives a record its new state, and leaves a late bounce where one is due. The null sender gets none.
func (j *joint) change(r *history.Stored, w *waiting, state envelope.State, from string) (reports bool, err error) {
	words := w.Words
	if state == envelope.Delivered {
		words = ""
	}
	if reports, err = r.Tell(state, w.At, words, state == envelope.Bounced && from != ""); err != nil {
		return false, err
	}
	if err := j.History.SetState(j.conn, r); err != nil || !reports {
		return false, err
	}
	info, err := json.Marshal(w.Told)
	if err != nil {
		return false, err
	}
	return true, database.Exec(j.conn, "INSERT INTO feedback_late (seq, at, info) VALUES (?, ?, ?) ON CONFLICT (seq) DO NOTHING",
		database.Args{r.Seq, j.now.UnixMilli(), string(info)})
}

// knowledge is what is known of something that is told.
type knowledge int

const (
	fresh knowledge = iota
	again           // it was told before
	alike           // the recipient has such an event
	full            // the message has too many events
)

// heard is what was told of a message before.
type heard struct {
	keys map[string]bool
	once []queue.Event
}

func (h *heard) add(e *queue.Event) {
	h.keys[e.Told] = true
	if e.Kind.IsOnce() {
		h.once = append(h.once, *e)
	}
}

// heardOf reads the events of a message, once in a write.
func (j *joint) heardOf(message int64) (*heard, error) {
	if h := j.heard[message]; h != nil {
		return h, nil
	}
	h := &heard{keys: map[string]bool{}}
	err := database.Rows(j.conn, "SELECT info FROM events WHERE message = ?", database.Args{message}, func(s *sqlite.Stmt) (bool, error) {
		var e queue.Event
		if err := json.Unmarshal([]byte(s.ColumnText(0)), &e); err != nil || e.Told == "" {
			return true, err
		}
		h.add(&e)
		return true, nil
	})
	if j.heard == nil {
		j.heard = map[int64]*heard{}
	}
	j.heard[message] = h
	return h, err
}

// known looks through the events of the message.
func (j *joint) known(r *history.Stored, w *waiting) (knowledge, error) {
	h, err := j.heardOf(r.Message)
	switch {
	case err != nil:
		return fresh, err
	case h.keys[w.key]:
		return again, nil
	case slices.ContainsFunc(h.once, func(e queue.Event) bool {
		return e.Kind == w.Kind && slices.ContainsFunc(e.To, func(to string) bool { return j.isOf(to, &r.Record) })
	}):
		return alike, nil
	case len(h.keys) >= queue.ToldOfMail:
		return full, nil
	}
	return fresh, nil
}

// isOf reports whether an address is that of a record; either may be hidden.
func (j *joint) isOf(address string, r *row.Record) bool {
	hide := j.History.Veil.Address
	return queue.AddressText(address) == queue.AddressText(r.Recipient) || address != "" && (hide(r.Recipient) == address || hide(address) == r.Recipient)
}
