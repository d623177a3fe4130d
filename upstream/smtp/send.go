package smtp

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
)

// job is one Send: the mail, what it needs on the wire, and what became of its recipients so far.
type job struct {
	mail    *upstream.Mail
	from    wirePath
	to      []wirePath
	content *content
	out     []upstream.Outcome
	keyed   bool   // the relay recognises it by a key
	given   string // the program's own key, "" for none
	known   string // digest that the first message must have; "": any
	pending []int  // recipients without an outcome, as indices of mail.To
	settled []bool
}

// Send makes one transaction, or several where the relay takes fewer recipients at once. A pooled
// connection that turns out to be dead before the relay has answered anything is replaced by a new
// one; nothing else is tried twice.
func (u *relay) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	job := newJob(m)
	u.begin(job)
	defer func() { u.release(job.content) }()
	var conn *conn
	if len(job.pending) > 0 {
		if conn = u.pool.get(); conn != nil {
			u.transact(ctx, conn, job, true)
		}
	}
	for len(job.pending) > 0 {
		conn, err := u.dial(ctx)
		if err != nil {
			job.fail(err)
			break
		}
		u.transact(ctx, conn, job, false)
	}
	return job.out
}

func newJob(m *upstream.Mail) *job {
	n := len(m.To)
	job := &job{mail: m, known: m.Digest, to: make([]wirePath, n), out: make([]upstream.Outcome, n), settled: make([]bool, n)}
	for i := range m.To {
		job.pending = append(job.pending, i)
	}
	return job
}

// begin checks the addresses and reads the message.
func (u *relay) begin(job *job) {
	var err error
	if job.from, err = senderAddress(job.mail.From); err != nil {
		job.fail(err)
		return
	}
	for i, r := range job.mail.To {
		if job.to[i], err = recipientAddress(r.Address); err != nil {
			job.settle(i, upstream.Outcome{Err: err})
		}
	}
	if job.sweep(); len(job.pending) == 0 {
		return
	}
	if job.keyed = u.service.Keyed; job.keyed {
		if err := job.readKey(u.removed); err != nil {
			job.fail(err)
			return
		}
	}
	if job.content, err = u.prepare(job.mail.Message, job.mail.Own); err != nil {
		job.fail(&upstream.Error{Class: upstream.Temporary, Err: err})
	}
}

func senderAddress(address string) (wirePath, error) {
	if address == "" { // the null sender
		return wirePath{}, nil
	}
	return checkedAddress("the sender address", "5.1.7", address)
}

func recipientAddress(address string) (wirePath, error) {
	return checkedAddress("the address", "5.1.3", address)
}

func checkedAddress(what, code, address string) (wirePath, error) {
	a, err := parseAddress(address)
	if err != nil {
		return a, &upstream.Error{Class: upstream.Permanent, Code: code, Err: fmt.Errorf("%s %q %w", what, address, err)}
	}
	return a, nil
}

// size is what SIZE= declares; all keys of a mail are as long.
func (j *job) size() int64 { return j.content.size + int64(len(j.keyLine(nil))) }

func (j *job) settle(i int, o upstream.Outcome) { j.out[i], j.settled[i] = o, true }

// sweep leaves those in pending that have no outcome yet.
func (j *job) sweep() {
	rest := j.pending[:0]
	for _, i := range j.pending {
		if !j.settled[i] {
			rest = append(rest, i)
		}
	}
	j.pending = rest
}

// fail sets this outcome for every recipient without one.
func (j *job) fail(err error) {
	for _, i := range j.pending {
		j.settle(i, upstream.Outcome{Err: err})
	}
	j.pending = nil
}

// fit compares what the mail needs with what the relay offers, and settles what cannot go.
func (u *relay) fit(j *job, caps capabilities) {
	if !caps.utf8 && (j.from.utf8 || (j.mail.UTF8 && j.content.eightBitHeader)) {
		what := "the header contains"
		if j.from.utf8 {
			what = "the sender address contains"
		}
		j.fail(noUTF8(what))
		return
	}
	if j.content.eightBit && !caps.eightBit {
		if err := u.to7Bit(j); err != nil {
			j.fail(err)
			return
		}
	}
	for _, i := range j.pending {
		if !caps.utf8 && j.to[i].utf8 {
			j.settle(i, upstream.Outcome{Err: noUTF8("the address contains")})
		}
	}
	j.sweep()
	if caps.size == 0 || j.size() <= caps.size { // RFC 1870 6.1
		return
	}
	content, err := u.lengthen(j.content, caps)
	switch {
	case err != nil:
		j.fail(&upstream.Error{Class: upstream.Temporary, Err: err})
	case content != j.content:
		j.content = content
	default:
		j.fail(&upstream.Error{Class: upstream.Unrepresentable, Status: 552, Code: "5.3.4",
			Err: fmt.Errorf("the message of %d bytes is too large for the relay, which takes %d", j.size(), caps.size)})
	}
}

func noUTF8(what string) *upstream.Error {
	return &upstream.Error{Class: upstream.Unrepresentable, Status: 553, Code: "5.6.7",
		Err: errors.New(what + " characters outside ASCII, and the relay does not know SMTPUTF8")}
}

// to7Bit replaces the content by one for relays that take only ASCII (RFC 6152 3).
func (u *relay) to7Bit(j *job) error {
	msg, err := wire.To7Bit(j.content.msg)
	switch {
	case errors.Is(err, mime.ErrIntlAddr):
		return noUTF8("an address in the header contains")
	case errors.Is(err, wire.ErrSigned), errors.Is(err, wire.ErrNo7Bit):
		return &upstream.Error{Class: upstream.Unrepresentable, Status: 554, Code: "5.6.3",
			Err: fmt.Errorf("the message has 8-bit content, which the relay does not take (no 8BITMIME): %w", err)}
	case err != nil:
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	content, err := u.prepare(msg, j.mail.Own)
	if err != nil {
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	u.release(j.content)
	j.content = content
	if content.eightBit {
		return &upstream.Error{Class: upstream.Unrepresentable, Status: 554, Code: "5.6.3",
			Err: errors.New("the message has 8-bit content that cannot be encoded, and the relay does not take it (no 8BITMIME)")}
	}
	return nil
}

// mailCommand is MAIL with the parameters that the message needs and the relay knows.
func (j *job) mailCommand(b []byte, caps capabilities, rcpts []int) []byte {
	b = append(append(append(b, "MAIL FROM:<"...), j.from.path...), '>')
	if caps.sizeParam {
		b = strconv.AppendInt(append(b, " SIZE="...), j.size(), 10)
	}
	if caps.eightBit && j.content.eightBit {
		b = append(b, " BODY=8BITMIME"...)
	}
	utf8 := j.from.utf8 || (j.mail.UTF8 && j.content.eightBitHeader)
	for _, i := range rcpts {
		utf8 = utf8 || j.to[i].utf8
	}
	if utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if caps.dsn {
		if j.mail.Ret == "FULL" || j.mail.Ret == "HDRS" {
			b = append(append(b, " RET="...), j.mail.Ret...)
		}
		if id := j.mail.EnvID; id != "" && len(id) <= maxEnvID {
			b = append(append(b, " ENVID="...), xtext(id)...)
		}
	}
	return append(b, "\r\n"...)
}

const maxEnvID = 100 // RFC 3461 4.4

// rcptCommand is RCPT for one recipient.
func (j *job) rcptCommand(b []byte, caps capabilities, i int) []byte {
	b = append(append(append(b, "RCPT TO:<"...), j.to[i].path...), '>')
	if caps.dsn {
		if notify := notifyValue(j.mail.To[i].Notify); notify != "" {
			b = append(append(b, " NOTIFY="...), notify...)
		}
		if orcpt := orcptValue(j.mail.To[i].ORcpt); orcpt != "" {
			b = append(append(b, " ORCPT="...), orcpt...)
		}
	}
	return append(b, "\r\n"...)
}
