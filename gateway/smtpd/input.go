package smtpd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/smtpd/limit"
)

// errBareLF is for a command line that ends in LF alone where that is refused.
var errBareLF = errors.New("smtpd: bare LF")

// readLine returns the next command line without its line end. A line that the end of the connection
// cut short is never given, and no line is longer than maxCommand. After an error other
// than errBareLF the session is over, and the client has got a reply where that makes sense.
func (f *front) readLine() ([]byte, error) {
	between := !f.mail && !f.challenge
	if err := f.place.Ending(between); err != nil {
		return nil, f.hangUp(err)
	}
	since := time.Now()
	deadline := since.Add(f.cfg.IdleTimeout)
	seen := 0
	for {
		if f.isTLSHello() { // before a line is looked for: a TLS hello may have an LF in it
			return nil, io.EOF
		}
		if i := bytes.IndexByte(f.in[f.r+seen:f.w], '\n'); i >= 0 && seen+i < maxCommand {
			line := f.in[f.r : f.r+seen+i]
			f.r += seen + i + 1
			if n := len(line); n > 0 && line[n-1] == '\r' {
				f.crlf = true
				return line[:n-1], nil
			}
			if f.cfg.BareNewlines == Reject {
				return nil, errBareLF
			}
			return line, nil
		}
		seen = f.w - f.r
		if seen >= maxCommand {
			f.refuseLast("500 5.5.2 Line too long")
			return nil, io.EOF
		}
		f.release()
		if _, err := f.fill(since, deadline, between); err != nil {
			return nil, f.hangUp(err)
		}
	}
}

// hangUp ends the session after an error between commands.
func (f *front) hangUp(err error) error {
	f.ended = true
	switch {
	case errors.Is(err, limit.ErrGaveWay):
		f.hurry()
		f.event(Event{Kind: Lost, Err: err})
		f.respond("421 4.3.2 " + f.cfg.Hostname + " Idle, and others need the connection")
	case errors.Is(err, limit.ErrDraining):
		f.respond("421 4.3.2 " + f.cfg.Hostname + " Service shutting down")
	case errors.Is(err, limit.ErrReplaced):
		f.respond("421 4.3.2 " + f.cfg.Hostname + " The settings have changed, connect again")
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.respond("421 4.4.2 " + f.cfg.Hostname + " Idle for too long")
	}
	return io.EOF
}

// fill reads more from the client, after sending it all replies. The deadline holds for this read; since is
// when the wait for what it should bring began; between is whether that is a wait between two messages.
func (f *front) fill(since, deadline time.Time, between bool) (n int, err error) {
	if f.ended {
		return 0, net.ErrClosed
	}
	if err := f.flush(); err != nil {
		return 0, err
	}
	if err := f.place.Arm(since, deadline, between); err != nil {
		return 0, err
	}
	f.room()
	n, err = f.conn.Read(f.in[f.w:])
	f.w += n
	return n, f.place.Disarm(n, err)
}

// fillPaced reads more input, at the pace of a message.
func (f *front) fillPaced(p *limit.Pace) error {
	began := time.Now()
	n, err := f.fill(began, began.Add(p.Limit()), false)
	p.Add(time.Since(began), n)
	return err
}

// room makes space in the input buffer.
func (f *front) room() {
	if f.r == f.w {
		f.r, f.w = 0, 0
	}
	if f.w < len(f.in) {
		return
	}
	if f.r > 0 {
		f.w = copy(f.in, f.in[f.r:f.w])
		f.r = 0
		return
	}
	size := max(2048, 2*len(f.in))
	if f.block == nil {
		size = min(size, maxCommand+2)
	}
	f.in = append(make([]byte, 0, size), f.in[:f.w]...)[:size]
}

// enlarge takes a block for the time of DATA.
func (f *front) enlarge() {
	if f.block != nil {
		return
	}
	f.block, f.small = f.srv.blocks.Get().(*[]byte), f.in
	f.w = copy(*f.block, f.in[f.r:f.w])
	f.r = 0
	f.in = *f.block
}

// release returns the block back once what is left in it fits elsewhere.
func (f *front) release() {
	if f.block == nil {
		return
	}
	rest := f.in[f.r:f.w]
	if len(rest) > maxCommand {
		return
	}
	if len(f.small) < len(rest) {
		f.small = make([]byte, max(2048, len(rest)))
	}
	f.in, f.r, f.w = f.small, 0, copy(f.small, rest)
	f.srv.blocks.Put(f.block)
	f.block, f.small = nil, nil
}

// skipChunk refuses BDAT, which is not offered, without taking its chunk for commands.
func (f *front) skipChunk(arg string) {
	word, last, more := strings.Cut(arg, " ")
	size, err := strconv.ParseInt(word, 10, 64)
	// What is not RFC 3030 to the letter may mean another size to the client than to us.
	if err != nil || !isDigits(word) || more && !strings.EqualFold(last, "LAST") || f.cfg.MaxMessage > 0 && size > f.cfg.MaxMessage || size > 1<<30 {
		f.refuseLast("502 5.5.1 BDAT is not implemented, and the chunk cannot be skipped")
		return
	}
	f.refuseCommand("502 5.5.1 BDAT is not implemented: CHUNKING was not offered")
	p := f.place.NewPace(f.cfg.MinRate)
	for size > 0 {
		n := min(size, int64(f.w-f.r))
		f.r += int(n)
		size -= n
		if size > 0 {
			if err := f.fillPaced(&p); err != nil {
				f.ended = true
				return
			}
		}
	}
}
