package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"mailhatch/upstream"
	"mailhatch/upstream/smtp/reply"
)

// transaction is MAIL, RCPT, DATA and the message, for some recipients of a job.
type transaction struct {
	relay *relay
	conn  *conn
	job   *job

	rcpts    []int           // whom it is for
	accepted []int           // those the relay took
	tooMany  []int           // those the relay takes in another transaction
	refused  *upstream.Error // MAIL was refused; counts for all
	noData   *upstream.Error // DATA was refused; counts for those accepted
	asked    bool            // DATA has its reply
	data     bool            // 354: the relay waits for the message, and has answered everything else
	replied  bool            // the relay has answered something
	divided  bool            // those accepted are offered again, fewer at once
}

// transact makes transactions on conn until all recipients have an outcome or the connection is of no
// more use, and returns it. With reused it leaves recipients without an outcome when the connection was dead
// or out of step.
func (u *relay) transact(ctx context.Context, conn *conn, job *job, reused bool) {
	release := conn.raw.closeWith(ctx)
	u.fit(job, conn.caps)
	for n := 0; len(job.pending) > 0 && !conn.broken && conn.messages < conn.caps.maxMessages; n++ {
		if n > 0 && conn.spoke() {
			break
		}
		t := transaction{relay: u, conn: conn, job: job}
		t.rcpts = append(t.rcpts, job.pending[:min(len(job.pending), u.most(conn))]...)
		conn.messages++
		if err := t.run(ctx); err != nil {
			conn.broken = true
			job.sweep()
			if reused && (!t.replied || errors.Is(err, errOutOfStep)) && ctx.Err() == nil {
				break
			}
			t.lost(ctx, err)
		}
		reused = false
		job.sweep()
	}
	if release() != nil {
		conn.broken = true
	}
	u.pool.put(conn)
}

// run makes the transaction. An error means that the connection is of no more use and the message
// was not sent; an *Error says what to tell of it.
func (t *transaction) run(ctx context.Context) error {
	if err := t.exchange(); err != nil {
		if !isClosed(err) {
			t.reopen()
		}
		return err
	}
	switch {
	case t.refused != nil:
		t.settle(t.rcpts, upstream.Outcome{Err: t.refused})
		if t.data { // a relay that contradicts itself: a dot now could deliver an empty message
			t.conn.broken = true
			return nil
		}
	case len(t.accepted) == 0 && t.data: // RFC 2920 3.1
		return t.loneDot()
	case t.data:
		t.refusedHere()
		return t.message(ctx)
	case t.noData != nil && t.divided:
	case t.noData != nil:
		t.settle(t.accepted, upstream.Outcome{Err: t.noData})
	}
	return t.confirm()
}

// most is how many recipients the relay takes at once, as far as it is known.
func (u *relay) most(conn *conn) int {
	if n := int(u.mostRecipients.Load()); n > 0 {
		return min(n, conn.caps.maxRecipients)
	}
	return conn.caps.maxRecipients
}

// divide reports whether the relay refuses a message for the number of its recipients: half as many at once are
// offered next, and those of later messages too.
func (t *transaction) divide(r reply.Reply, phase reply.Stage) bool {
	if len(t.accepted) < 2 || !r.TooManyRecipients(phase) {
		return false
	}
	half := int64(len(t.accepted) / 2)
	for {
		known := t.relay.mostRecipients.Load()
		if known > 0 && known <= half || t.relay.mostRecipients.CompareAndSwap(known, half) {
			break
		}
	}
	for _, i := range t.tooMany {
		t.job.out[i], t.job.settled[i] = upstream.Outcome{}, false
	}
	return true
}

// isClosed reports whether the relay ended the connection, so that the replies before that stand.
func isClosed(err error) bool {
	var refused *upstream.Error // 421
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &refused)
}

func (t *transaction) settle(recipients []int, o upstream.Outcome) {
	for _, i := range recipients {
		t.job.settle(i, o)
	}
}

// lost settles all that is open when the connection is gone.
func (t *transaction) lost(ctx context.Context, err error) {
	var known *upstream.Error
	if !errors.As(err, &known) {
		what := "the connection was lost"
		if errors.Is(err, errOutOfStep) {
			what = "the connection was given up"
		}
		known = &upstream.Error{Class: upstream.Temporary, Connect: !t.replied,
			Err: fmt.Errorf("%s: %s before the message was sent: %w", t.relay.address(), what, cause(ctx, err))}
	}
	t.job.sweep()
	t.job.fail(known)
}

// cause names the end of ctx where that is what closed the connection.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

const commandBytes = 100 // of a usual MAIL or RCPT

// exchange sends the commands, as many at once as PIPELINING allows (RFC 2920), and takes the replies.
func (t *transaction) exchange() error {
	last := len(t.rcpts) + 1 // MAIL is 0, DATA the last
	buf := make([]byte, 0, commandBytes*min(last+1, maxPipelined))
	for next := 0; next <= last; {
		if t.refused != nil || (next == last && len(t.accepted) == 0) {
			return nil
		}
		n := 1
		if t.conn.caps.pipelining {
			n = min(last+1-next, maxPipelined)
		}
		buf = buf[:0]
		for k := next; k < next+n; k++ {
			buf = t.command(buf, k)
		}
		if err := t.conn.write(buf, t.relay.timeout); err != nil {
			return t.lastWords(err, reply.AtConnect)
		}
		for k := next; k < next+n; k++ {
			r, err := t.conn.readReply(t.relay.timeout)
			if err != nil {
				return err
			}
			if r.Code == 421 {
				return r.Failure(t.phase(k))
			}
			if !r.Fits(t.phase(k)) {
				return fmt.Errorf("%w: %d to %s", errOutOfStep, r.Code, [...]string{reply.AtMail: "MAIL", reply.AtRcpt: "RCPT", reply.AtData: "DATA"}[t.phase(k)])
			}
			t.replied = true
			t.reply(k, r)
		}
		next += n
	}
	return nil
}

func (t *transaction) command(b []byte, k int) []byte {
	switch k {
	case 0:
		return t.job.mailCommand(b, t.conn.caps, t.rcpts)
	case len(t.rcpts) + 1:
		return append(b, "DATA\r\n"...)
	}
	return t.job.rcptCommand(b, t.conn.caps, t.rcpts[k-1])
}

// reply notes the answer to command k.
func (t *transaction) reply(k int, r reply.Reply) {
	switch {
	case k == 0:
		if r.Code/100 != 2 {
			t.refused = r.Failure(reply.AtMail)
		}
	case k == len(t.rcpts)+1:
		if t.asked, t.data = true, r.Code == 354; !t.data {
			t.noData = r.Failure(reply.AtData)
			t.divided = t.divide(r, reply.AtData)
		}
	case t.refused != nil: // 503 and the like, pipelined behind MAIL
	case r.Code/100 == 2:
		t.accepted = append(t.accepted, t.rcpts[k-1])
	default:
		i := t.rcpts[k-1]
		if r.TooManyRecipients(reply.AtRcpt) {
			t.tooMany = append(t.tooMany, i)
		}
		t.job.settle(i, upstream.Outcome{Err: r.Failure(reply.AtRcpt)})
	}
}

func (t *transaction) phase(k int) reply.Stage {
	switch k {
	case 0:
		return reply.AtMail
	case len(t.rcpts) + 1:
		return reply.AtData
	}
	return reply.AtRcpt
}

// refusedHere corrects a guess: a relay that takes other recipients of this mail is open to us, so that
// "relay denied" is about the one recipient.
func (t *transaction) refusedHere() {
	for _, i := range t.rcpts {
		if e, ok := errors.AsType[*upstream.Error](t.job.out[i].Err); ok && e.Class == upstream.Account && e.Sender {
			e.Class, e.Sender = upstream.Permanent, false
		}
	}
}

// loneDot ends DATA that the relay allowed though it took no recipient.
func (t *transaction) loneDot() error {
	if err := t.conn.write([]byte(".\r\n"), t.relay.timeout); err != nil {
		return err
	}
	_, err := t.conn.readReply(t.relay.timeout)
	return err
}
