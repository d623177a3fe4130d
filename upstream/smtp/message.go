package smtp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/smtp/reply"
)

// message sends the message and settles those who get it.
func (t *transaction) message(ctx context.Context) error {
	if err := t.compare(); err != nil {
		return err
	}
	if err := t.send(); err != nil {
		var read *readError
		var known *upstream.Error
		switch {
		case errors.As(err, &read):
			return &upstream.Error{Class: upstream.Temporary, Err: err}
		case errors.As(err, &known), errors.Is(err, errOutOfStep):
			return err
		}
		return t.lastWords(err, reply.AtDot)
	}
	r, err := t.conn.readReply(t.relay.finalTimeout)
	if err == nil && r.Code/100 != 2 && r.Code/100 != 4 && r.Code/100 != 5 {
		err = t.conn.garbage(fmt.Sprint(r.Code, " ", r.Text))
	}
	if err != nil {
		t.conn.broken = true
		t.settle(t.accepted, upstream.Outcome{Err: t.uncertain(&upstream.Error{Class: upstream.Uncertain,
			Err: fmt.Errorf("the message was sent, but the reply of %s was lost: %w", t.relay.address(), cause(ctx, err))})})
		return nil
	}
	if r.Code/100 != 2 {
		if e := t.refusal(r); e.Class == upstream.Uncertain || !t.divide(r, reply.AtDot) {
			t.settle(t.accepted, upstream.Outcome{Err: e})
		}
		return nil
	}
	t.settle(t.accepted, upstream.Outcome{ID: t.conn.secrets.Redact(r.QueueID()), Notifies: t.conn.caps.dsn, Note: t.job.content.note()})
	for _, i := range t.tooMany { // each transaction takes at least one, so this ends
		t.job.out[i], t.job.settled[i] = upstream.Outcome{}, false
	}
	return nil
}

// refusal returns what a reply to the final dot that is not a success means, once QUIT has its own reply: with one
// too many before the dot, the reply to the dot would come now.
func (t *transaction) refusal(r reply.Reply) *upstream.Error {
	t.conn.broken = true
	if r.Code != 421 {
		next, err := t.conn.ask("QUIT", min(t.relay.timeout, resetTimeout))
		if err == nil && next.Code != 221 && next.Code != 421 {
			return t.uncertain(&upstream.Error{Class: upstream.Uncertain, Err: fmt.Errorf("%s: %w: the message got %d %s, and QUIT %d",
				t.relay.address(), errOutOfStep, r.Code, r.Text, next.Code)})
		}
	}
	if e := t.refusedKey(r); e != nil {
		return e
	}
	return r.Refusal(t.job.mail)
}

// send writes the message, behind its key where it has one.
func (t *transaction) send() error {
	if line := t.job.keyLine(t.accepted); line != "" {
		if err := t.writeMessage([]byte(line)); err != nil {
			return err
		}
	}
	return t.job.content.send(t.relay, t.writeMessage)
}

// writeMessage writes in pieces, so that a slow line that makes progress is not taken for a dead one. It ends
// when the relay speaks before it has the final dot: what would be taken for the reply to that is none.
func (t *transaction) writeMessage(p []byte) error {
	for len(p) > 0 {
		if t.conn.spoke() {
			return t.early()
		}
		n := min(len(p), chunkSize)
		if err := t.conn.write(p[:n], t.relay.timeout); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// early returns what a reply means that comes before the message has gone. A refusal that is not for the size
// does not count for good: it could be one reply too many.
func (t *transaction) early() error {
	r, err := t.conn.readReply(min(t.relay.timeout, time.Second))
	switch {
	case err != nil:
		return err
	case r.Code < 400:
		return fmt.Errorf("%w: %d before the message was sent", errOutOfStep, r.Code)
	}
	e := r.Refusal(t.job.mail)
	if e.Class == upstream.Permanent || e.Class == upstream.Account {
		e.Class, e.Sender = upstream.Temporary, false
	}
	return e
}

// lastWords asks why the relay closed the connection while we were writing; err where it does not say.
func (t *transaction) lastWords(err error, phase reply.Stage) error {
	r, silent := t.conn.readReply(min(t.relay.timeout, time.Second))
	if silent != nil || r.Code < 400 {
		return err
	}
	return r.Failure(phase)
}
