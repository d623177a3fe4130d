package history

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// searchStep is how many records one statement returns at most.
const searchStep = 1000

// Search implements queue.History. The server looks for what can be meant; what is, is decided here.
func (k *Keeper) Search(ctx context.Context, f queue.HistoryFilter) (out []queue.Record, err error) {
	q := search{hidden: k.Veil.Filter(&f), before: math.MaxInt64}
	if f.After != "" {
		if q.before, err = strconv.ParseInt(f.After, 36, 64); err != nil {
			return nil, fmt.Errorf("%w: %q", queue.ErrPlace, f.After)
		}
	}
	if !q.choose(&f) {
		if q.bad != nil {
			return nil, q.bad
		}
		return nil, nil
	}
	horizon, err := k.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	q.where("at >= $", horizon)
	for {
		want := searchStep
		if f.Limit > 0 {
			want = min(want, f.Limit-len(out)+searchStep/10)
		}
		found, err := q.step(ctx, k.DB, want)
		if err != nil {
			return nil, err
		}
		for i := range found {
			r := &found[i]
			if (f.Matches(r) || q.hidden != nil && q.hidden.Matches(r)) && (f.Limit <= 0 || len(out) < f.Limit) {
				out = append(out, *r)
			}
		}
		if len(found) < want || f.Limit > 0 && len(out) >= f.Limit {
			return out, nil
		}
	}
}

// search is a query that is being put together.
type search struct {
	hidden *queue.HistoryFilter
	before int64
	terms  []string
	args   []any
	bad    error
}

// where adds a term whose last $ stands for an argument.
func (q *search) where(term string, arg any) {
	q.args = append(q.args, arg)
	q.terms = append(q.terms, term+strconv.Itoa(len(q.args)))
}

// choose adds what a filter asks; false: nothing can match.
func (q *search) choose(f *queue.HistoryFilter) bool {
	if f.ID != "" {
		id, ok := queue.ParseID(f.ID)
		if !ok {
			q.bad = fmt.Errorf("queue: %q is not a queue id", f.ID)
			return false
		}
		q.where("message = $", id)
	}
	if f.State != "" {
		code, ok := row.Code(f.State)
		if !ok {
			return false
		}
		q.where("state = $", code)
	}
	if f.Upstream != "" {
		q.where("upstream = $", database.Text(f.Upstream))
	}
	if f.MessageID != "" {
		q.where("message_id = $", hashID(f.MessageID))
	}
	if f.ProviderID != "" {
		q.where("provider = $", hashID(f.ProviderID))
	}
	if !f.Since.IsZero() {
		q.where("at >= $", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		q.where("at <= $", f.Until.UnixMilli()) // it may be part of a millisecond
	}
	for _, word := range strings.Fields(strings.ToLower(f.Subject)) {
		q.where("subject LIKE $", "%"+escape(database.Text(word))+"%")
	}
	q.addresses(f)
	return true
}

// addresses adds terms of texts that may be hidden: then the digests are meant, too.
func (q *search) addresses(f *queue.HistoryFilter) {
	h := q.hidden
	if h == nil {
		h = &queue.HistoryFilter{}
	}
	if f.From != "" && f.From != "<>" {
		q.any([]string{"sender"}, pattern(f.From), pattern(h.From))
	}
	if f.From == "<>" {
		q.where("sender = $", "")
	}
	if f.To != "" {
		q.any([]string{"recipient", "given"}, pattern(f.To), pattern(h.To))
	}
	if f.Word != "" {
		q.any([]string{"recipient", "given", "sender"}, "%"+escape(database.Text(queue.AddressText(f.Word)))+"%", pattern(h.Word))
	}
}

// any adds that one of the columns is like one of the patterns.
func (q *search) any(columns []string, patterns ...string) {
	var either []string
	for _, p := range patterns {
		if p == "" {
			continue
		}
		q.args = append(q.args, p)
		for _, c := range columns {
			term := c + " LIKE $" + strconv.Itoa(len(q.args))
			if c == "given" { // its index is of those that are there
				term = "(given <> '' AND " + term + ")"
			}
			either = append(either, term)
		}
	}
	q.terms = append(q.terms, "("+strings.Join(either, " OR ")+")")
}

// pattern is the pattern of LIKE for one of a filter.
func pattern(glob string) string {
	if glob == "" {
		return ""
	}
	return strings.NewReplacer("*", "%", "?", "_").Replace(escape(database.Text(queue.AddressText(glob))))
}

func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)
}

// step returns the next records, the latest first.
func (q *search) step(ctx context.Context, db DB, want int) (found []queue.Record, err error) {
	where, n := strings.Join(q.terms, " AND "), strconv.Itoa(len(q.args)+1)
	sql := "SELECT seq, at, message, state, exact_sender, exact_recipient, info FROM history WHERE " + where + " AND seq < $" + n + " ORDER BY seq DESC LIMIT " + strconv.Itoa(want)
	rows, err := db.Query(ctx, sql, append(append([]any{}, q.args...), q.before)...)
	if err != nil {
		return nil, database.Describe(err)
	}
	found, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (rec queue.Record, err error) {
		var stored row.Record
		if err := r.Scan(&q.before, &stored.At, &stored.Message, &stored.State, &stored.Sender, &stored.Recipient, &stored.Info); err != nil {
			return rec, err
		}
		rec, err = stored.Decode()
		rec.Key = strconv.FormatInt(q.before, 36)
		return rec, err
	})
	return found, database.Describe(err)
}
