package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/mime"
	"mailhatch/mime/lineend"
)

// maxHeader is the longest header, in bytes.
const maxHeader = 1 << 20

// byteOrderMark is what editors of other systems put before UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// readInput reads a message and returns its header, line ends CRLF, and a reader of all that follows the
// empty line. A first line "From …" of a mailbox file is skipped; a message that does not begin with a
// header is all body. A line that is not a field ends the header, unless fields that must not be
// overlooked come after it: hidden recipients, and with -t all recipients.
func readInput(r io.Reader, fromHeader bool) (fields mime.Header, raw []byte, body io.Reader, err error) {
	br := bufio.NewReader(lineend.Message(r))
	if start, _ := br.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = br.Discard(len(byteOrderMark)) // it would become part of a field's name, To not be found
	}
	if err := skipMailbox(br); err != nil {
		return nil, nil, nil, err
	}
	raw, body, err = mime.ReadHeader(br, maxHeader)
	if errors.Is(err, mime.ErrHeaderTooLarge) && startsWithField(raw) {
		return nil, nil, nil, exitf(exDataErr, "the header is longer than %d bytes", maxHeader)
	}
	if err != nil && !errors.Is(err, mime.ErrHeaderTooLarge) {
		return nil, nil, nil, err
	}
	fields = mime.ParseHeader(raw)
	n := 0
	for i, f := range fields {
		if f.Name == "" && (i == 0 || !namesRecipients(fields[i:], fromHeader)) { // the body has begun without an empty line
			fields = fields[:i]
			body = io.MultiReader(bytes.NewReader(raw[n:]), body)
			break
		}
		n += len(f.Raw)
	}
	header := bytes.Clone(raw[:n])
	if n > 0 && header[n-1] != '\n' {
		header = append(header, "\r\n"...)
	}
	return fields, append(header, "\r\n"...), body, nil
}

// namesRecipients reports whether a field has recipients that would be shown or, with -t, forgotten if
// the field were taken for text.
func namesRecipients(fields mime.Header, fromHeader bool) bool {
	return slices.ContainsFunc(fields, func(f mime.Field) bool {
		switch strings.ToLower(f.Name) {
		case "bcc", "resent-bcc":
			return true
		case "to", "cc", "resent-to", "resent-cc":
			return fromHeader
		}
		return false
	})
}

// skipMailbox skips the line that begins a message in a mailbox file.
func skipMailbox(r *bufio.Reader) error {
	start, err := r.Peek(len(">From "))
	if err != nil && err != io.EOF {
		return err
	}
	if !bytes.HasPrefix(start, []byte("From ")) && !bytes.HasPrefix(start, []byte(">From ")) {
		return nil
	}
	for {
		_, err := r.ReadSlice('\n')
		switch err {
		case bufio.ErrBufferFull:
			continue
		case io.EOF:
			return nil
		}
		return err
	}
}

func startsWithField(raw []byte) bool {
	h := mime.ParseHeader(raw)
	return len(h) > 0 && h[0].Name != ""
}

// complete adds the fields that a message needs (RFC 6409 8) and removes Bcc and Resent-Bcc.
func complete(fields mime.Header, raw []byte, a submit.Author, now time.Time) []byte {
	edits := []mime.Edit{{Op: mime.Remove, Name: "Bcc"}, {Op: mime.Remove, Name: "Resent-Bcc"}}
	missing := func(name, value string) {
		if fields.Get(name) == "" {
			edits = append(edits, mime.Edit{Op: mime.Replace, Name: name, Value: value})
		}
	}
	missing("Date", now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	missing("From", mime.Address(a).String())
	missing("Message-ID", submit.MessageID(now))
	return mime.EditHeader(raw, edits...)
}
