package transfer

import (
	"bufio"
	"bytes"
	"io"
)

// uuReader decodes the first file of uuencoded text (POSIX uuencode). Text before "begin" is skipped.
type uuReader struct {
	r     *bufio.Reader
	begun bool
	ended bool
	out   []byte
	err   error
}

func (u *uuReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.line()
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

// line decodes one line.
func (u *uuReader) line() {
	line, err := u.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		u.err = ErrBrokenUUEncode
		return
	}
	if err != nil {
		u.err = err
		if err == io.EOF && !u.ended {
			u.err = ErrBrokenUUEncode
		}
	}
	line = bytes.TrimRight(line, "\r\n")
	switch {
	case u.ended || !u.begun && !bytes.HasPrefix(line, []byte("begin ")):
		return
	case !u.begun:
		u.begun = true
		return
	case string(bytes.TrimSpace(line)) == "end":
		u.ended = true
		u.err = nil
		if err != nil {
			u.err = err
		}
		return
	case len(line) == 0 || line[0] == '`' || line[0] == ' ':
		return
	}
	out, ok := uuLine(line)
	if !ok {
		u.err = ErrBrokenUUEncode
		return
	}
	u.out = out
}

// uuLine decodes a line: a letter for the length, four letters for three bytes. Spaces that mail
// programs cut off at the end count as zero.
func uuLine(line []byte) ([]byte, bool) {
	n := int(line[0]-' ') & 63
	if line[0] < ' ' || line[0] > '`' {
		return nil, false
	}
	need := (n + 2) / 3 * 4
	letters := make([]byte, need)
	for i := range letters {
		if i+1 < len(line) {
			if line[i+1] < ' ' || line[i+1] > '`' {
				return nil, false
			}
			letters[i] = (line[i+1] - ' ') & 63
		}
	}
	out := make([]byte, 0, need/4*3)
	for i := 0; i < need; i += 4 {
		a, b, c, d := letters[i], letters[i+1], letters[i+2], letters[i+3]
		out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	return out[:n], true
}
