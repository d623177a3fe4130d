package smtpd

import (
	"fmt"
	"io"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/smtpd/limit"
)

// A message takes the shared budget in steps that double, so that small ones do not hold much.
const (
	minBudgetStep = 16 << 10
	maxBudgetStep = 1 << 20
)

// drainFactor times MaxMessage is how much of a message is read and dropped for its refusal to reach the client.
const drainFactor = 16

// body is the text of one DATA, read straight from the client.
type body struct {
	f       *front
	dots    dotDecoder
	pace    limit.Pace
	size    int64           // bytes given out
	hold    limit.Hold      // what it takes of the budget
	taken   int64           // how much that was at most
	spare   []byte          // decoded for a reader that asked for next to nothing
	ended   bool            // CRLF.CRLF was seen: the message is whole
	err     error           // of the connection: the session is over
	refusal *envelope.Reply // why the message is refused although it is whole
}

// openBody begins to read DATA.
func (f *front) openBody() *body {
	f.place.SetInMessage(true)
	f.enlarge()
	return &body{f: f, dots: dotDecoder{onlyLF: f.cfg.BareNewlines == Accept && !f.crlf},
		pace: f.place.NewPace(f.cfg.MinRate), hold: limit.NewHold(f.place, f.client())}
}

// close ends DATA. A session whose message has no end is over: the rest of it must never be taken
// for commands.
func (b *body) close() {
	f := b.f
	f.cfg.InFlight.Give(&b.hold)
	f.crlf = f.crlf || !b.dots.onlyLF
	if !b.ended {
		f.abort(b.err)
	}
	f.release()
	// go-smtp has not seen the text: this is the end that it waits for.
	f.pending = append(f.pending[:0], ".\r\n"...)
	f.place.SetInMessage(false)
}

// Read returns text with CRLF line ends. The error is io.EOF only after CRLF.CRLF, a *envelope.Reply when the
// message is refused, else that of the connection.
func (b *body) Read(p []byte) (int, error) {
	if len(b.spare) > 0 {
		n := copy(p, b.spare)
		b.spare = b.spare[n:]
		return n, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(p) < 2 {
		var two [2]byte
		n, err := b.read(two[:])
		b.spare = append(b.spare[:0], two[:n]...)
		n = copy(p, b.spare)
		b.spare = b.spare[n:]
		if n > 0 {
			err = nil
		}
		return n, err
	}
	return b.read(p)
}

func (b *body) read(p []byte) (int, error) {
	for {
		switch {
		case b.err != nil:
			return 0, b.err
		case b.refusal != nil:
			return 0, b.refusal
		case b.ended:
			return 0, io.EOF
		}
		n, err := b.step(p)
		if err != nil {
			return 0, err
		}
		b.size += int64(n)
		if b.checkLimits(); n > 0 && b.refusal == nil {
			return n, nil
		}
	}
}

// step decodes what is there, or waits for more.
func (b *body) step(p []byte) (int, error) {
	f := b.f
	if f.r == f.w {
		if err := f.fillPaced(&b.pace); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			b.err = err
			return 0, err
		}
	}
	nd, ns := b.dots.decode(p, f.in[f.r:f.w])
	f.r += ns
	b.ended = b.dots.state == atEnd
	return nd, nil
}

// checkLimits finds reasons to refuse the message.
func (b *body) checkLimits() {
	cfg := b.f.cfg
	switch {
	case cfg.MaxMessage > 0 && b.size > cfg.MaxMessage:
		b.refusal = &envelope.Reply{Code: 552, Enhanced: [3]int{5, 3, 4}, Text: fmt.Sprintf("Message too big: the limit is %d bytes", cfg.MaxMessage)}
	case cfg.MaxLine > 0 && max(b.dots.long, b.dots.line) > cfg.MaxLine:
		b.refusal = &envelope.Reply{Code: 554, Enhanced: [3]int{5, 6, 0}, Text: fmt.Sprintf("A line is longer than %d bytes", cfg.MaxLine)}
	case cfg.BareNewlines == Reject && b.dots.bare:
		b.refusal = &envelope.Reply{Code: 554, Enhanced: [3]int{5, 6, 0}, Text: "Bare CR or LF in the message: lines must end in CRLF"}
	case !b.reserve():
		b.refusal = &envelope.Reply{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "Too much mail is coming in at once, try again later"}
	}
}

// reserve takes what the message needs so far from the budget.
func (b *body) reserve() bool {
	budget := b.f.cfg.InFlight
	for budget != nil && b.size > b.taken {
		step := min(max(b.taken, minBudgetStep), maxBudgetStep)
		if most := b.f.cfg.MaxMessage; most > 0 {
			step = min(step, most-b.taken) // size is not beyond it
		}
		if !budget.Take(&b.hold, step) {
			return false
		}
		b.taken += step
	}
	return true
}

// drain reads up to the end what the handler has not read.
func (b *body) drain() {
	var scratch [512]byte // on a stack that has no need to grow: most often all has been read
	most := b.f.cfg.MaxMessage
	if !b.ended {
		b.f.cfg.InFlight.Give(&b.hold) // nobody keeps what comes now
	}
	for !b.ended && b.err == nil {
		if most > 0 && b.pace.Bytes()/drainFactor > most {
			b.err = b.refusal
			return
		}
		b.step(scratch[:])
	}
}
