package feedback

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

const (
	lateEvery = time.Minute // between two looks for late bounces
	latePage  = 500         // late bounces that are read at once
	lateRest  = 200 * time.Millisecond
)

// reportAll notifies senders of mail that did not arrive.
func (f *Follower) reportAll(ctx context.Context) {
	r := reporter{Follower: f, held: map[string]time.Time{}}
	for {
		start := time.Now()
		err := r.round(ctx)
		if err != nil && ctx.Err() == nil {
			f.Journal.InternalError("bounce", err)
		}
		took, wait := time.Since(start), lateEvery
		if until := r.next(); err == nil && !until.IsZero() {
			wait = min(wait, max(time.Until(until), lateRest))
		}
		if !rest(ctx, wait, f.late) {
			return
		}
		if !rest(ctx, max(lateRest, 10*took), nil) { // what is told of one message together is reported together
			return
		}
	}
}

// reporter notifies senders.
type reporter struct {
	*Follower
	held map[string]time.Time // senders who got many notifications lately, and when they get the rest in a digest
	at   time.Time            // when the round began
}

// next returns when the next digest is due; zero: none is.
func (r *reporter) next() (at time.Time) {
	for _, due := range r.held {
		if at.IsZero() || due.Before(at) {
			at = due
		}
	}
	return at
}

// round goes through all late bounces once. Those of a message that stand together are reported together.
func (r *reporter) round(ctx context.Context) error {
	if !r.alone(ctx, "late bounces", 3*lateEvery) {
		clear(r.held)
		return nil
	}
	r.at = time.Now()
	digests := map[string][]queue.LateBounce{}
	var failure error // the first; others go on
	for after := ""; ; {
		page, err := r.Store.LateBounces(ctx, after, latePage)
		if err != nil {
			return err
		}
		for rest := page; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Record.ID == rest[0].Record.ID {
				n++
			}
			if err := r.message(ctx, rest[:n], digests); err != nil {
				if ctx.Err() != nil {
					return err
				}
				failure = cmp.Or(failure, err)
			}
			rest = rest[n:]
		}
		if len(page) < latePage {
			break
		}
		after = page[len(page)-1].Key
	}
	if failure == nil { // there is nothing left to tell some of them
		maps.DeleteFunc(r.held, func(sender string, due time.Time) bool { return !r.at.Before(due) && digests[sender] == nil })
	}
	for sender, list := range digests {
		if err := r.digest(ctx, sender, list); err != nil {
			failure = cmp.Or(failure, err)
		}
	}
	return failure
}

// message reports the recipients of one message, or puts them off until the digest of their sender.
func (r *reporter) message(ctx context.Context, list []queue.LateBounce, digests map[string][]queue.LateBounce) error {
	if due, ok := r.held[list[0].Record.From]; ok && r.at.Before(due) {
		return nil
	}
	report, wanted, err := r.report(ctx, list)
	if err != nil {
		return err
	}
	var keys, others []string
	for i := range list {
		if wanted[i] {
			keys = append(keys, list[i].Key)
		} else {
			others = append(others, list[i].Key)
		}
	}
	if len(others) > 0 {
		if err := r.Store.Dismiss(ctx, others...); err != nil {
			return err
		}
	}
	if len(keys) == 0 {
		return nil
	}
	sender := report.Envelope.From
	if due, ok := r.held[sender]; ok && !r.at.Before(due) {
		for i := range list {
			if wanted[i] && len(digests[sender]) < digestMost {
				digests[sender] = append(digests[sender], list[i])
			}
		}
		return nil
	}
	if until := r.Door.After(sender); !until.IsZero() && mime.IsASCII(sender) {
		if _, ok := r.held[sender]; !ok {
			r.held[sender] = until
		}
		return nil
	}
	msg, err := report.Message()
	if err != nil || msg == nil {
		return errors.Join(err, r.Store.Dismiss(ctx, keys...))
	}
	return r.submit(ctx, sender, msg, keys, list)
}

// digestMost is how many late bounces one digest settles; the rest has the next.
const digestMost = 5000

// digest reports all that was put off for a sender.
func (r *reporter) digest(ctx context.Context, sender string, list []queue.LateBounce) error {
	var d bounce.Digest
	var keys []string
	for i := range list {
		l := &list[i]
		d.Add(l.Record.ID, l.Record.Header.Subject, l.Record.Recipient.Address, words(l))
		keys = append(keys, l.Key)
	}
	msg, err := d.Message(r.config.Load().Hostname, sender, r.Clock.Now())
	if err != nil {
		return err
	}
	if err := r.submit(ctx, sender, msg, keys, list); err != nil {
		return err
	}
	if len(list) < digestMost {
		delete(r.held, sender)
	}
	return nil
}

// submit queues a notification. Where it is refused for good, nobody can be told.
func (r *reporter) submit(ctx context.Context, sender string, msg []byte, keys []string, list []queue.LateBounce) error {
	id, err := r.Door.Submit(context.WithoutCancel(ctx), sender, msg, keys)
	switch {
	case errors.Is(err, queue.ErrReported): // the next round knows which are left
		return nil
	case err != nil && r.Door.Refused(err):
		r.Journal.InternalError("bounce", err)
		return r.Store.Dismiss(ctx, keys...)
	case err != nil:
		return err
	}
	r.Door.Count(sender)
	for i := range list {
		if l := &list[i]; slices.Contains(keys, l.Key) {
			r.Journal.Bounced(journal.Attempt{ID: l.Record.ID, MessageID: l.Record.Header.MessageID, From: sender, To: []string{l.Record.Recipient.Address},
				Upstream: l.Record.Upstream, Attempts: l.Record.Attempts}, id)
		}
	}
	return nil
}

// report composes what the sender of a message is told. wanted marks the late bounces that it is about; none where the
// sender does not want to hear of it, or is not known any more.
func (r *reporter) report(ctx context.Context, list []queue.LateBounce) (report *bounce.Report, wanted []bool, err error) {
	late, err := r.mail(ctx, &list[0].Record)
	if err != nil {
		return nil, nil, err
	}
	cfg := r.config.Load()
	report = &bounce.Report{Action: bounce.Failed, Late: true, ID: late.ID, Hostname: cfg.Hostname, At: r.Clock.Now(), Envelope: late.Envelope, Original: late.Header}
	wanted = make([]bool, len(list))
	for i := range list {
		l := &list[i]
		fate := r.fate(l)
		late.Recipient = fate.Recipient.Address
		one := *report
		one.Fates = []bounce.Fate{fate}
		wanted[i] = strings.Contains(late.Envelope.From, "@") && one.IsDue() && cfg.Notify(late)
		if wanted[i] {
			report.Fates = append(report.Fates, fate)
		}
	}
	return report, wanted, nil
}

// fate is what became of a recipient.
func (r *reporter) fate(l *queue.LateBounce) bounce.Fate {
	f := bounce.Fate{Recipient: l.Record.Recipient, Status: l.Told.Status, Upstream: l.Record.Upstream, RemoteMTA: l.Told.RemoteMTA, Text: words(l), Last: l.Told.At}
	if code, err := strconv.Atoi(f.Text[:min(3, len(f.Text))]); err == nil && code >= 400 && code < 600 && (len(f.Text) == 3 || f.Text[3] == ' ' || f.Text[3] == '-') {
		f.Code, f.SMTP = code, true
	}
	return f
}

// words are why mail did not arrive.
func words(l *queue.LateBounce) string {
	text := l.Told.Words
	if kind, reply, ok := strings.Cut(text, ";"); ok && strings.EqualFold(strings.TrimSpace(kind), "smtp") { // as in a report of its own, RFC 3464 2.3.6
		text = strings.TrimSpace(reply)
	}
	switch {
	case text != "":
		return text
	case l.Told.Kind == queue.EventSuppressed:
		return "the provider does not send to this address any more"
	case l.Told.Kind == queue.EventFailed:
		return "the provider could not send it"
	}
	return "the recipient's mail server refused it"
}

// mail is what is known of a message, whether or not others of its recipients wait still.
func (r *reporter) mail(ctx context.Context, rec *queue.Record) (*Late, error) {
	late := &Late{ID: rec.ID, Size: rec.Size, Envelope: envelope.Envelope{From: rec.From, To: []envelope.Recipient{rec.Recipient}, Received: rec.Received}}
	var fields []byte
	whole := false
	m, err := r.Store.Finished(ctx, rec.ID)
	switch {
	case err == nil:
		late.Envelope, fields, whole = m.Envelope, m.Fields, m.Kept
	case !errors.Is(err, queue.ErrNotFound):
		return nil, err
	default:
		list, err := r.Store.List(ctx, queue.Filter{IDs: []string{rec.ID}}, queue.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		for i := range list {
			late.Envelope, whole = list[i].Envelope, true
		}
	}
	if whole && (strings.EqualFold(late.Envelope.Ret, "FULL") || fields == nil) {
		if text, err := r.body(ctx, rec.ID); err == nil {
			fields = text
		}
	}
	if fields != nil {
		if late.Header, err = mime.Parse(mime.NewBytesSource(fields)); err != nil {
			late.Header = nil
		}
	}
	return late, nil
}

const bodyMost = 1 << 20 // bytes of a message that a notification is made from

// body reads a message, or the beginning of a large one.
func (r *reporter) body(ctx context.Context, id string) ([]byte, error) {
	b, err := r.Store.Body(ctx, id)
	if err != nil {
		return nil, err
	}
	defer b.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.NewSectionReader(b, 0, min(b.Size(), bodyMost)))
}
