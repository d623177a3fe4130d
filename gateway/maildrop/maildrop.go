// Package maildrop keeps the mail of local programs safe while the gateway does not run.
//
// The maildrop is a directory that everybody may write to and nobody but the gateway may list (mode
// 3733). Each message is a file of its own, written under an unguessable name by the account that
// sends it, and on stable storage before [Write] returns. The owner of the file, never its content,
// decides who sent it. Files belong to the gateway's group and are readable by it alone; where the
// directory cannot hand its group on (mode 1733), what keeps others from a file is that they can
// neither list its name nor guess it.
//
// The gateway takes a file by moving it to a directory of its own ([Box.Each]), so that nobody can
// change it any more and it can be removed for certain.
package maildrop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"mailhatch/gateway/envelope"
)

// DirName is the name of the maildrop in the state directory.
const DirName = "maildrop"

// Errors that callers distinguish. Write and Box.Each wrap them.
var (
	ErrFull        = errors.New("no space left for the maildrop")
	ErrUnsafe      = errors.New("the maildrop is not safe to use")
	ErrMalformed   = errors.New("not a message of the maildrop")
	ErrUnsupported = errors.New("there is no maildrop on this system")
)

// magic begins each file; the number is that of the format: this line, a line of JSON (head), the message.
const magic = "mailhatch-maildrop 1\n"

// maxHead is the longest line of JSON, in bytes: some ten thousand recipients.
const maxHead = 4 << 20

// head is the envelope in a file. Who sent the message is not in it.
type head struct {
	From  string               `json:"from"`
	To    []envelope.Recipient `json:"to"`
	Ret   string               `json:"ret,omitempty"`
	EnvID string               `json:"envid,omitempty"`
	Body  string               `json:"body,omitempty"`
	UTF8  bool                 `json:"utf8,omitempty"`
	Size  int64                `json:"size"` // bytes of the message that follows
}

// encode writes a file. Where the size is not known, count goes where the envelope was, once the message has
// been counted.
func encode(w io.Writer, env *envelope.Envelope, size int64, message io.Reader) (count string, err error) {
	line, err := headLine(env, size)
	if err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", magic, line); err != nil {
		return "", err
	}
	n, err := io.Copy(w, message)
	switch {
	case err != nil || n == size:
		return "", err
	case size != Unknown:
		return "", fmt.Errorf("the message has %d bytes, not %d", n, size)
	}
	count, err = headLine(env, n)
	return fmt.Sprintf("%-*s", len(line), count), err
}

// headLine returns the line of JSON; that of an unknown size has room for any.
func headLine(env *envelope.Envelope, size int64) (string, error) {
	line, err := json.Marshal(head{From: env.From, To: env.To, Ret: env.Ret, EnvID: env.EnvID, Body: env.Body, UTF8: env.UTF8, Size: size})
	if size == Unknown {
		line = append(line, strings.Repeat(" ", len("9223372036854775807"))...)
	}
	if err == nil && len(line) >= maxHead {
		err = fmt.Errorf("%w: the list of recipients is too long", ErrMalformed)
	}
	return string(line), err
}

// decode reads a file of fileSize bytes up to its message, which body reads.
func decode(r io.Reader, fileSize int64) (env *envelope.Envelope, size int64, body io.Reader, err error) {
	br := bufio.NewReader(io.LimitReader(r, fileSize))
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(br, first); err != nil || string(first) != magic {
		return nil, 0, nil, fmt.Errorf("%w: its first line is wrong", ErrMalformed)
	}
	line, err := readLine(br)
	if err != nil {
		return nil, 0, nil, err
	}
	var h head
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return nil, 0, nil, fmt.Errorf("%w: its envelope cannot be parsed: %v", ErrMalformed, err)
	}
	if left := fileSize - int64(len(magic)+len(line)); h.Size != left {
		return nil, 0, nil, fmt.Errorf("%w: %d bytes should follow the envelope, but %d do", ErrMalformed, h.Size, left)
	}
	if len(h.To) == 0 {
		return nil, 0, nil, fmt.Errorf("%w: it has no recipients", ErrMalformed)
	}
	env = &envelope.Envelope{From: h.From, To: h.To, Ret: h.Ret, EnvID: h.EnvID, Body: h.Body, UTF8: h.UTF8}
	return env, h.Size, br, nil
}

// readLine reads the line of JSON, line end included.
func readLine(br *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxHead:
			return "", fmt.Errorf("%w: its envelope is too long", ErrMalformed)
		case err == nil:
			return string(line), nil
		case err != bufio.ErrBufferFull:
			return "", fmt.Errorf("%w: its envelope is cut off", ErrMalformed)
		}
	}
}
