package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"mailhatch/upstream"
)

// Verdict is what an answer means. ID and Err together: the mail was taken for all but the recipients in Faulty.
type Verdict struct {
	ID     string
	Err    *upstream.Error
	Faulty []int  // indices into Call.Keys: Err is about these recipients alone
	Search bool   // some recipient is at fault, the provider does not say which
	Parts  []Part // of an answer that tells recipients apart: one for each of Call.Keys; Err is nil then
	pause  time.Duration
}

// Part is what an answer means for one recipient of a call whose others it may have dealt with otherwise.
type Part struct {
	ID  string
	Err *upstream.Error
}

// patience is how many calls of one mail may fail one after another before the rest is left for
// the next attempt.
const patience = 3

// offer is one run of Send.
type offer struct {
	upstream *Upstream
	mail     *upstream.Mail
	composed Composed
	outcomes []upstream.Outcome
	known    string          // digest that the first request must have; "": any
	failures int             // calls that failed in a row
	date     time.Time       // of the last answer
	stop     *upstream.Error // why no further calls are made
}

func everyone(m *upstream.Mail) []int {
	at := make([]int, len(m.To))
	for i := range at {
		at[i] = i
	}
	return at
}

// offer makes the calls for the recipients at these positions.
func (o *offer) offer(ctx context.Context, at []int) {
	calls, refused := planCalls(o.mail, at, o.upstream.client.service)
	for i, err := range refused {
		o.outcomes[i].Err = err
	}
	for i := range calls {
		if o.stop != nil {
			o.set(calls[i].Positions(), upstream.Outcome{Err: o.stop})
			continue
		}
		o.call(ctx, &calls[i])
	}
}

// call makes one call. Where a recipient is at fault the others are offered again without it.
func (o *offer) call(ctx context.Context, c *Call) {
	v := o.try(ctx, c)
	switch {
	case v.Err == nil:
		o.failures = 0
		o.settle(ctx, c, v)
		if v.pause > 0 && o.stop == nil {
			o.stop = &upstream.Error{Class: upstream.Throttled, RetryAfter: v.pause, Err: errors.New("not offered yet: the rate limit is used up")}
		}
	case len(v.Faulty) > 0 && len(v.Faulty) < len(c.rcpts):
		var rest []int
		for i, at := range c.rcpts {
			if slices.Contains(v.Faulty, i) {
				o.set(at, upstream.Outcome{Err: v.Err})
			} else {
				rest = append(rest, at...)
			}
		}
		if v.ID != "" {
			o.failures = 0
			o.set(rest, upstream.Outcome{ID: v.ID})
			return
		}
		o.offer(ctx, rest)
	case v.Search && len(c.rcpts) > 1:
		half := len(c.rcpts) / 2
		first, second := Call{rcpts: c.rcpts[:half]}, Call{rcpts: c.rcpts[half:]}
		o.offer(ctx, first.Positions())
		o.offer(ctx, second.Positions())
	default:
		o.set(c.Positions(), upstream.Outcome{Err: v.Err})
		o.heed(ctx, v.Err)
	}
}

// settle notes what became of the recipients of a call that the provider has taken.
func (o *offer) settle(ctx context.Context, c *Call, v Verdict) {
	o.set(c.Positions(), upstream.Outcome{ID: v.ID, Pause: v.pause})
	for i, part := range v.Parts {
		if part.Err == nil {
			o.set(c.rcpts[i], upstream.Outcome{ID: part.ID, Pause: v.pause})
			continue
		}
		o.set(c.rcpts[i], upstream.Outcome{Err: part.Err})
		if part.Err.Class == upstream.Account || part.Err.Class == upstream.Throttled {
			o.heed(ctx, part.Err)
		}
	}
}

func (o *offer) try(ctx context.Context, c *Call) Verdict {
	if err := ctx.Err(); err != nil {
		return Verdict{Err: &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("not offered in time: %w", err)}}
	}
	req, err := o.upstream.client.request(o.composed, c)
	if err != nil {
		return Verdict{Err: err}
	}
	c.Repeated = o.mail.Again
	if err := o.compare(req); err != nil {
		o.stop = err
		return Verdict{Err: err}
	}
	v := o.exchange(ctx, req, c)
	if o.upstream.client.service.Keyed && v.Err != nil && v.Err.Class == upstream.Uncertain {
		// Without a digest, the provider compares requests by itself.
		v.Err.Digest, _ = req.Body.Digest()
	}
	return v
}

// compare returns an error where the first request of an offer is not the one that may have been taken before.
func (o *offer) compare(req *Request) *upstream.Error {
	known := o.known
	if o.known = ""; known == "" {
		return nil
	}
	switch digest, err := req.Body.Digest(); {
	case err != nil:
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	case digest != known:
		return &upstream.Error{Class: upstream.Uncertain, Changed: true, Digest: known, Err: errors.New("the request is not the one that may have been taken")}
	}
	return nil
}

func (o *offer) exchange(ctx context.Context, req *Request, c *Call) Verdict {
	client := o.upstream.client
	send := req.Exchange
	if send == nil {
		send = func(ctx context.Context) (*Answer, *upstream.Error) { return client.Do(ctx, req) }
	}
	answer, err := send(ctx)
	if err != nil {
		return Verdict{Err: err}
	}
	answer.mail = o.mail
	o.date, _ = http.ParseTime(answer.Header.Get("Date"))
	v := o.upstream.provider.Interpret(answer, c)
	if (v.Err == nil || v.ID != "") && !answer.Sent {
		v = Verdict{Err: Errorf(upstream.Uncertain, "", "the API says that it took the mail, but answered before it had all of it")}
	}
	v.ID = client.secrets.get().Redact(v.ID)
	if v.Err == nil {
		v.pause = limitPause(answer.Header)
		for i := range v.Parts {
			v.Parts[i].ID = client.secrets.get().Redact(v.Parts[i].ID)
		}
	}
	return v
}

// request makes the request of a call, unless it is more than the API takes.
func (c *Client) request(composed Composed, call *Call) (*Request, *upstream.Error) {
	r, err := composed(call)
	if err != nil {
		return nil, err
	}
	if n := r.Body.Size(); n > c.service.Bytes {
		return nil, Errorf(upstream.Unrepresentable, "5.3.4", "the message makes a request of %d bytes; the API takes %d", n, c.service.Bytes)
	}
	return r, nil
}

// heed stops further calls that would meet the same trouble.
func (o *offer) heed(ctx context.Context, err *upstream.Error) {
	switch err.Class {
	case upstream.Permanent, upstream.Unrepresentable:
		o.failures = 0
		return
	case upstream.Temporary, upstream.Uncertain:
		if o.failures++; o.failures < patience && !err.Connect && ctx.Err() == nil {
			return
		}
	}
	o.stop = err
	if err.Class == upstream.Uncertain { // those that were never offered are certain
		o.stop = &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("not offered after an earlier call failed: %w", err)}
	}
}

func (o *offer) set(at []int, out upstream.Outcome) {
	out.Date = o.date
	for _, i := range at {
		o.outcomes[i] = out
	}
}
