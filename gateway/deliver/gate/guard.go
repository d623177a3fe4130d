package gate

import (
	"errors"
	"fmt"

	"mailhatch/upstream"
)

// guardLimit is how many different recipients have to be refused in a row, and none taken, to show that it is not they
// who are at fault.
const guardLimit = 20

// refusals are those since an upstream has last taken a mail.
type refusals struct {
	recipients map[string]bool
	message    string // of the first
	several    bool   // they were of more than one message
}

// Guard looks at the outcomes of an offer, which go through it unchanged as long as some are taken now and then. From an
// upstream that refuses everything, refusals are about the account: they keep the mail and close the gate. A message that
// is refused alone never has that effect, to however many recipients it goes.
func (g *Gate) Guard(id string, to []upstream.Recipient, outcomes []upstream.Outcome) []upstream.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.refusals
	counted := map[*upstream.Error]bool{} // recipients of one call share its error
	for i, o := range outcomes {
		e := refusalOf(o.Err)
		switch {
		case o.Err == nil:
			*r = refusals{}
			return outcomes
		case e == nil || counted[e]:
			continue
		case r.recipients == nil:
			r.recipients, r.message = map[string]bool{}, id
		}
		counted[e] = true
		r.several = r.several || id != r.message
		if len(r.recipients) < guardLimit {
			r.recipients[to[i].Address] = true
		}
	}
	if len(r.recipients) < guardLimit || !r.several {
		return outcomes
	}
	for i, o := range outcomes {
		if e := refusalOf(o.Err); e != nil {
			outcomes[i].Err = &upstream.Error{Class: upstream.Account, Status: e.Status, Code: e.Code, RetryAfter: e.RetryAfter,
				Err: fmt.Errorf("it refuses everything, %d different recipients in a row: %w", guardLimit, e.Err)}
		}
	}
	return outcomes
}

// refusalOf returns the provider's final refusal; nil: err is none.
func refusalOf(err error) *upstream.Error {
	var e *upstream.Error
	if !errors.As(err, &e) || e.Class != upstream.Permanent || e.Status == 0 {
		return nil
	}
	return e
}
