package accept

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// directTime bounds a direct delivery: below the 10 minutes that clients wait for the reply to the
// final dot (RFC 5321 4.5.3.2.6), and below the 60 s that many legacy ones really wait.
const directTime = 55 * time.Second

// direct offers a message at once; the upstream's answer is the client's answer. Only when it
// took some recipients and not others the rest is queued, for SMTP has no reply for that.
func (a *Acceptor) direct(ctx context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error) {
	in, err := a.receive(ctx, env, body, nil)
	if err != nil {
		return "", "", err
	}
	defer in.close()
	parts, err := a.parts(ctx, in)
	if err != nil {
		return "", "", in.refusal(err)
	}
	offer, cancel := context.WithTimeout(ctx, directTime)
	defer cancel()
	asked, copies := in.divide(parts)
	all := a.offerNow(offer, in, asked)
	if len(all.Taken) > 0 || all.Err == nil {
		late := a.offerNow(offer, in, copies) // what becomes of them is not the client's matter
		all.Taken, all.Rest = append(late.Taken, all.Taken...), append(all.Rest, late.Rest...)
	}
	// Neither a client that went nor the end of our time may lose what is known by now.
	return a.endDirect(context.WithoutCancel(ctx), in, all)
}

// endDirect keeps what became of a message, queues what is left of it, and returns the answer.
func (a *Acceptor) endDirect(ctx context.Context, in *incoming, r *deliver.DirectResult) (id, text string, err error) {
	start := time.Now()
	kept := in.kept(r.Rest, r.Taken)
	var refused error
	if len(r.Taken) == 0 && r.Err != nil {
		refused = directReply(r.Err)
		if !finalReply(refused) { // the client keeps it and comes again
			return "", "", in.refusal(refused)
		}
		in.ended = nil // what was refused as a whole is nowhere
		kept.Parts, kept.Done = nil, refusals(r.Rest)
	}
	err = in.draft.Commit(ctx, kept)
	switch {
	case err != nil && len(kept.Parts) > 0:
		return "", "", in.refusal(a.storeReply(err))
	case err != nil:
		a.Journal.InternalError("queue", err) // the upstream's word counts, with or without our history
	}
	if refused != nil {
		r := in.refusal(refused)
		r.OnRecord = err == nil
		return "", "", r
	}
	a.accepted(in, time.Since(start))
	if len(kept.Parts) > 0 || len(r.Taken) == 0 {
		return in.id, "", nil
	}
	last := r.Taken[len(r.Taken)-1]
	return in.id, strings.TrimSuffix(fmt.Sprintf("OK: taken by %s as %s", last.Upstream, last.ProviderID), " as "), nil
}

// refusals returns the history of recipients that no upstream takes.
func refusals(parts []queue.Part) (records []queue.Record) {
	for _, p := range parts {
		for _, to := range p.To {
			records = append(records, queue.Record{Recipient: to, State: envelope.Refused, Upstream: p.Lane,
				Error: p.Progress.Error, Attempts: p.Progress.Attempts})
		}
	}
	return records
}

func finalReply(err error) bool {
	var r *envelope.Reply
	return errors.As(err, &r) && r.Code/100 == 5
}

// offerNow offers parts at once.
func (a *Acceptor) offerNow(ctx context.Context, in *incoming, parts []queue.Part) *deliver.DirectResult {
	m := &queue.Message{ID: in.id, Envelope: in.env, Header: in.summary(), Size: in.size}
	all := &deliver.DirectResult{}
	for _, p := range parts {
		if p.State != envelope.Queued || p.Lane == "" { // held or discarded: no upstream's affair
			all.Rest = append(all.Rest, p)
			continue
		}
		result := a.Deliverer.Direct(ctx, m, in.msg, p)
		all.Taken, all.Rest = append(all.Taken, result.Taken...), append(all.Rest, result.Rest...)
		if all.Err == nil {
			all.Err = result.Err
		}
	}
	return all
}

// divide separates the copies that rules added from the recipients that the client named.
func (in *incoming) divide(parts []queue.Part) (asked, copies []queue.Part) {
	for _, p := range parts {
		var mine, added []envelope.Recipient
		for _, r := range p.To {
			if in.copies[mime.AddressKey(r.Address)] {
				added = append(added, r)
			} else {
				mine = append(mine, r)
			}
		}
		if len(mine) > 0 {
			p.To = mine
			asked = append(asked, p)
		}
		if len(added) > 0 {
			p.To = added
			copies = append(copies, p)
		}
	}
	return asked, copies
}

// directReply translates the upstream's error for the client.
func directReply(err error) error {
	var e *upstream.Error
	if !errors.As(err, &e) {
		e = &upstream.Error{Err: err}
	}
	r := &envelope.Reply{Code: 451, Enhanced: [3]int{4, 4, 0}, Text: e.Error()}
	switch e.Class {
	case upstream.Permanent:
		r.Code, r.Enhanced = 550, [3]int{5, 0, 0}
	case upstream.Unrepresentable:
		r.Code, r.Enhanced = 554, [3]int{5, 6, 1}
	case upstream.Throttled:
		r.Enhanced = [3]int{4, 7, 0}
	}
	if c, ok := envelope.ParseStatus(e.Code); ok && c[0] == r.Enhanced[0] {
		r.Enhanced = c
	}
	return r
}
