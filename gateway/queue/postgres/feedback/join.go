package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/suppress"
)

// atMost is how long after its sending something is told of a recipient that names no message.
const atMost = 4 * 24 * time.Hour

// lockQuery lets one write of feedback after the other look at what is known and add to it.
const lockQuery = "SELECT pg_advisory_xact_lock(hashtextextended('mailhatch feedback', 0))"

// join writes what was told, with a change of its own in the same write.
func (d Desk) join(ctx context.Context, list []*waiting, change func(pgx.Tx) error) (queue.Applied, error) {
	if err := d.findAddresses(ctx, list); err != nil {
		return queue.Applied{}, err
	}
	var done queue.Applied
	err := d.Change(ctx, func(tx pgx.Tx) error {
		j := joint{Desk: d, tx: tx, now: d.Now(), told: map[int64][]queue.Event{}, byMessage: map[int64][]*history.Stored{}, byProvider: map[string][]*history.Stored{}}
		for _, lock := range []string{lockQuery, suppress.Lock} {
			if _, err := tx.Exec(ctx, lock); err != nil {
				return err
			}
		}
		if err := change(tx); err != nil {
			return err
		}
		if err := j.all(ctx, list); err != nil {
			return err
		}
		left, dropped, err := bound(ctx, tx, queue.JoinMost)
		done = j.done
		done.Waiting, done.Dropped = left, done.Dropped+dropped
		return err
	})
	if err != nil {
		return queue.Applied{}, err
	}
	return done, nil
}

// findAddresses looks for the last mail before what is told, where that names none.
func (d Desk) findAddresses(ctx context.Context, list []*waiting) error {
	for _, w := range list {
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

// joint is one write. It reads at its beginning what it has to know, and writes at its end.
type joint struct {
	Desk
	tx   pgx.Tx
	now  time.Time
	done queue.Applied

	byMessage  map[int64][]*history.Stored
	byProvider map[string][]*history.Stored
	told       map[int64][]queue.Event // of messages

	changed  []*history.Stored
	rows     history.Rows
	lateSeq  []int64
	lateInfo []string
	over     []int64 // rows of those that do not wait any more
}

// all joins what was told with records.
func (j *joint) all(ctx context.Context, list []*waiting) error {
	if err := j.read(ctx, list); err != nil {
		return err
	}
	var wait []*waiting
	for _, w := range list {
		if !w.Kind.IsTold() || w.ID == "" && w.ProviderID == "" && w.Recipient == "" {
			j.done.Dropped++
		} else if r := j.find(w); r != nil {
			if err := j.tell(ctx, r, w); err != nil {
				return err
			}
		} else {
			if w.row == 0 {
				wait = append(wait, w)
			}
			continue
		}
		if w.row != 0 {
			j.over = append(j.over, w.row)
		}
	}
	again, err := j.keep(ctx, wait)
	if err != nil {
		return err
	}
	j.done.Again += again
	return j.write(ctx)
}

// read reads the records that may be meant, and what is known of their messages.
func (j *joint) read(ctx context.Context, list []*waiting) error {
	messages, providers := []int64{}, []string{} // not NULL
	for _, w := range list {
		if w.message != 0 {
			messages = append(messages, w.message)
		} else if w.provider() != "" {
			providers = append(providers, w.provider())
		}
	}
	records, err := j.History.Candidates(ctx, j.tx, messages, providers)
	if err != nil {
		return err
	}
	for _, r := range records {
		j.byMessage[r.Message] = append(j.byMessage[r.Message], r)
		id := queue.PlainID(r.Texts.ProviderID)
		j.byProvider[id] = append(j.byProvider[id], r)
	}
	var ids []int64
	for id := range j.byMessage {
		ids = append(ids, id)
	}
	rows, err := j.tx.Query(ctx, "SELECT message, info FROM events WHERE message = ANY($1) ORDER BY message, seq", ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var message int64
		var info string
		var e queue.Event
		if err := rows.Scan(&message, &info); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(info), &e); err != nil {
			return err
		}
		if e.Told != "" {
			j.told[message] = append(j.told[message], e)
		}
	}
	return rows.Err()
}

// find returns the record that something is told of; nil: there is none.
func (j *joint) find(w *waiting) *history.Stored {
	list := j.byMessage[w.message]
	if w.message == 0 {
		list = j.byProvider[w.provider()]
	}
	var named []*history.Stored
	for _, r := range list {
		if r.Texts.Upstream == w.upstream && j.names(w, r) {
			named = append(named, r)
		}
	}
	if len(named) == 0 || w.Recipient == "" && len(named) > 1 || w.message == 0 && w.provider() == "" {
		return nil
	}
	return named[0]
}

// names reports whether something is told of the recipient of a record, whose address may be hidden.
func (j *joint) names(w *waiting, r *history.Stored) bool {
	if w.Recipient == "" {
		return true
	}
	address, hidden, given := queue.AddressText(w.Recipient), j.History.Veil.Address(w.Recipient), r.Texts.To.Given
	return queue.AddressText(r.Recipient) == address || given != "" && queue.AddressText(given) == address || hidden != "" && r.Recipient == hidden
}

// tell notes what was told of the recipient of a record.
func (j *joint) tell(ctx context.Context, r *history.Stored, w *waiting) error {
	rec, err := r.Decode()
	if err != nil {
		return err
	}
	known, told := j.known(r, w), rec.Told
	if told.IsZero() {
		told = rec.At
	}
	state, changed := w.Kind.After(w.At, rec.State, told)
	if known == again || known != fresh && !changed {
		j.done.Again++
		return nil
	}
	joined := queue.Joined{Told: w.Told, Upstream: w.upstream, From: rec.From, MessageID: rec.Header.MessageID, State: state, Changed: changed}
	if joined.ID = rec.ID; joined.Recipient == "" {
		joined.Recipient = rec.Recipient.Address
	}
	if changed {
		if joined.Report, err = j.change(r, w, state, rec.From); err != nil {
			return err
		}
	}
	j.done.Joined = append(j.done.Joined, joined)
	if err := errors.Join(j.suppress(ctx, &joined), j.forward(ctx, &joined)); err != nil || known != fresh {
		return err
	}
	e := queue.Event{At: w.At, Kind: w.Kind, To: []string{joined.Recipient}, Upstream: w.upstream, Words: w.Words, Status: w.Status, Told: w.key}
	j.told[r.Message] = append(j.told[r.Message], e)
	return j.History.AddEvents(&j.rows, r.Message, []queue.Event{e})
}

// suppress puts the recipient on the list of suppressed addresses, or takes it off.
func (j *joint) suppress(ctx context.Context, told *queue.Joined) error {
	if told.Kind == queue.EventDelivered {
		if j.Refused.IsEmpty() {
			return nil
		}
		lifted, err := j.Refused.Delivered(ctx, j.tx, queue.SenderDomain(told.From), told.Recipient, told.At)
		j.done.Lifted = append(j.done.Lifted, lifted...)
		return err
	}
	s, due := j.Refused.Due(told)
	if !due {
		return nil
	}
	added, err := j.Refused.Put(ctx, j.tx, s)
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
	if !slices.Contains(j.changed, r) {
		j.changed = append(j.changed, r)
	}
	if !reports {
		return false, nil
	}
	info, err := json.Marshal(w.Told)
	j.lateSeq, j.lateInfo = append(j.lateSeq, r.Seq), append(j.lateInfo, string(info))
	return true, err
}

// write writes what was noted.
func (j *joint) write(ctx context.Context) error {
	b := &pgx.Batch{}
	history.SetStates(b, j.changed)
	j.rows.Queue(b)
	if len(j.lateSeq) > 0 {
		b.Queue("INSERT INTO feedback_late (seq, at, info) SELECT k.seq, $1, k.info FROM unnest($2::bigint[], $3::text[]) k(seq, info) ON CONFLICT (seq) DO NOTHING",
			j.now.UnixMilli(), j.lateSeq, j.lateInfo)
	}
	if len(j.over) > 0 {
		b.Queue("DELETE FROM feedback_waiting WHERE seq = ANY($1)", j.over)
	}
	return j.tx.SendBatch(ctx, b).Close()
}

// knowledge is what is known of something that is told.
type knowledge int

const (
	fresh knowledge = iota
	again           // it was told before
	alike           // the recipient has such an event
	full            // the message has too many events
)

// known looks through what was told of the message.
func (j *joint) known(r *history.Stored, w *waiting) (k knowledge) {
	list := j.told[r.Message]
	for i := range list {
		e := &list[i]
		if e.Told == w.key {
			return again
		}
		if e.Kind == w.Kind && w.Kind.IsOnce() && slices.ContainsFunc(e.To, func(to string) bool { return j.isOf(to, r) }) {
			k = alike
		}
	}
	if k == fresh && len(list) >= queue.ToldOfMail {
		return full
	}
	return k
}

// isOf reports whether an address, which may be hidden, is that of a record.
func (j *joint) isOf(address string, r *history.Stored) bool {
	return queue.AddressText(address) == queue.AddressText(r.Recipient) || j.History.Veil.Address(r.Recipient) == address
}
