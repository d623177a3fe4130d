package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// apiProvider is what each HTTP API fills in; the rest of an offer is the same for all.
type apiProvider interface {
	// limits gives the recipients of one call and the bytes of one request body.
	limits() (recipients int, bytes int64)
	// apart says whether one call can send to many who do not see each other without anyone for To.
	apart() bool
	// refuses gives the error of compose, and of the letters it makes, for a mail that is small for the
	// API, without reading the body; known is false where only compose can tell.
	refuses(m *Mail) (err *Error, known bool)
	// compose translates what all calls of a mail share.
	compose(m *Mail) (apiLetter, *Error)
	// judge reads an answer.
	judge(a *httpAnswer, c *apiCall) apiVerdict
}

// apiLetter makes the request of one call.
type apiLetter func(c *apiCall) (*httpRequest, *Error)

// apiVerdict is what an answer means.
type apiVerdict struct {
	id     string
	err    *Error
	guilty []int // indices into apiCall.rcpts: err is their fault alone
	search bool  // some recipient is at fault, the provider does not say which
	pause  time.Duration
}

// apiPatience is how many calls of one mail may fail one after another before the rest is left for
// the next attempt.
const apiPatience = 3

// apiOffer is one run of Send.
type apiOffer struct {
	ctx      context.Context
	client   *httpClient
	provider apiProvider
	mail     *Mail
	letter   apiLetter
	outcomes []Outcome
	failures int    // calls that failed in a row
	stop     *Error // why no further calls are made
}

// sendCalls offers a mail by as many calls as its recipients need.
func sendCalls(ctx context.Context, client *httpClient, p apiProvider, m *Mail) []Outcome {
	o := &apiOffer{ctx: ctx, client: client, provider: p, mail: m, outcomes: make([]Outcome, len(m.To))}
	letter, err := p.compose(m)
	if err != nil {
		o.set(everyone(m), Outcome{Err: err})
		return o.outcomes
	}
	o.letter = letter
	o.offer(everyone(m))
	return o.outcomes
}

func everyone(m *Mail) []int {
	at := make([]int, len(m.To))
	for i := range at {
		at[i] = i
	}
	return at
}

// offer makes the calls for the recipients at these positions.
func (o *apiOffer) offer(at []int) {
	calls, refused := planCalls(o.mail, at, o.provider)
	for i, err := range refused {
		o.outcomes[i].Err = err
	}
	for i := range calls {
		if o.stop != nil {
			o.set(calls[i].positions(), Outcome{Err: o.stop})
			continue
		}
		o.call(&calls[i])
	}
}

// call makes one call. Where a recipient is at fault the others are offered again without it.
func (o *apiOffer) call(c *apiCall) {
	v := o.try(c)
	switch {
	case v.err == nil:
		o.failures = 0
		o.set(c.positions(), Outcome{ID: v.id, Pause: v.pause})
		if v.pause > 0 {
			o.stop = &Error{Class: Throttled, RetryAfter: v.pause, Err: errors.New("not offered yet: the rate limit is used up")}
		}
	case len(v.guilty) > 0 && len(v.guilty) < len(c.rcpts):
		var rest []int
		for i, at := range c.rcpts {
			if contains(v.guilty, i) {
				o.set(at, Outcome{Err: v.err})
			} else {
				rest = append(rest, at...)
			}
		}
		o.offer(rest)
	case v.search && len(c.rcpts) > 1:
		half := len(c.rcpts) / 2
		first, second := apiCall{rcpts: c.rcpts[:half]}, apiCall{rcpts: c.rcpts[half:]}
		o.offer(first.positions())
		o.offer(second.positions())
	default:
		o.set(c.positions(), Outcome{Err: v.err})
		o.heed(v.err)
	}
}

func contains(list []int, i int) bool {
	for _, v := range list {
		if v == i {
			return true
		}
	}
	return false
}

func (o *apiOffer) try(c *apiCall) apiVerdict {
	if err := o.ctx.Err(); err != nil {
		return apiVerdict{err: &Error{Class: Temporary, Err: fmt.Errorf("not offered in time: %w", err)}}
	}
	req, err := o.letter(c)
	if err == nil {
		err = o.fits(req)
	}
	if err != nil {
		return apiVerdict{err: err}
	}
	answer, err := o.client.do(o.ctx, req)
	if err != nil {
		return apiVerdict{err: err}
	}
	v := o.provider.judge(answer, c)
	if v.err != nil {
		v.err.Err = o.client.redacted(v.err.Err)
	} else {
		v.pause = limitPause(answer.header)
	}
	return v
}

func (o *apiOffer) fits(r *httpRequest) *Error {
	_, limit := o.provider.limits()
	if n := r.body.size(); n > limit {
		return apiError(Unrepresentable, "5.3.4", "the message makes a request of %d bytes; the API takes %d", n, limit)
	}
	return nil
}

// heed stops further calls that would meet the same trouble.
func (o *apiOffer) heed(err *Error) {
	switch err.Class {
	case Permanent, Unrepresentable:
		o.failures = 0
		return
	case Temporary, Uncertain:
		if o.failures++; o.failures < apiPatience && !err.Connect && o.ctx.Err() == nil {
			return
		}
	}
	o.stop = err
	if err.Class == Uncertain { // those that were never offered are certain
		o.stop = &Error{Class: Temporary, Err: fmt.Errorf("not offered after an earlier call failed: %w", err)}
	}
}

func (o *apiOffer) set(at []int, out Outcome) {
	for _, i := range at {
		o.outcomes[i] = out
	}
}

// renderCalls writes the requests as they would go over the wire, without the key.
func renderCalls(client *httpClient, p apiProvider, kind string, m *Mail, w io.Writer) error {
	letter, e := p.compose(m)
	if e != nil {
		return e
	}
	calls, refused := planCalls(m, everyone(m), p)
	for i, rcpt := range m.To {
		if err := refused[i]; err != nil {
			fmt.Fprintf(w, "not to %s: %v\n\n", rcpt.Address, err)
		}
	}
	o := &apiOffer{provider: p}
	for i := range calls {
		req, e := letter(&calls[i])
		if e == nil {
			e = o.fits(req)
		}
		if e != nil {
			return e
		}
		if err := client.render(req, w); err != nil {
			return err
		}
	}
	var b strings.Builder
	b.WriteString("What this API changes by nature:\n")
	for _, s := range NatureChanges(kind) {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	_, err := io.WriteString(w, b.String())
	if len(calls) == 0 {
		return errors.Join(err, errors.New("no recipient that this API can address"))
	}
	return err
}

// render writes one request.
func (c *httpClient) render(r *httpRequest, w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s\n", r.method, c.base, r.path)
	scheme, _, _ := strings.Cut(r.auth, " ")
	fmt.Fprintf(&b, "Authorization: %s %s\n", scheme, redacted)
	fmt.Fprintf(&b, "User-Agent: %s\n", c.agent)
	for i := 0; i+1 < len(r.header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\n", r.header[i], r.header[i+1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\n\n", r.body.size())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if _, err := io.Copy(w, r.body.open()); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
