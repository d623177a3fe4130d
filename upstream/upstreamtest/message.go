package upstreamtest

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // decodes texts of all charsets
	"github.com/emersion/go-message/mail"

	"mailhatch/upstream"
)

// ReadRaw reads msg.Raw as far as it can be read: providers take broken messages too, but not headers with lines
// that are no fields. It refuses what no message must leave with: Bcc, and fields that steer a provider.
func ReadRaw(msg *Message) error {
	msg.Whole = true
	for i, line := range strings.Split(string(msg.Raw), "\n") {
		if strings.TrimRight(line, "\r") == "" {
			break
		}
		if folded := line[0] == ' ' || line[0] == '\t'; folded && i > 0 {
			continue
		}
		if name, _, colon := strings.Cut(line, ":"); !colon || strings.TrimRight(name, " \t") == "" {
			return fmt.Errorf("message cannot be read: line %d of the header is no field", i+1)
		}
	}
	e, err := message.Read(bytes.NewReader(msg.Raw))
	if e == nil { // the reader gives up at a line that is no field; providers read on
		e, err = message.Read(bytes.NewReader(fieldsOnly(msg.Raw)))
	}
	if e == nil {
		return fmt.Errorf("message cannot be read: %v", err)
	}
	if strings.TrimSpace(e.Header.Get("From")) == "" {
		return fmt.Errorf("from parameter is missing")
	}
	msg.Headers = map[string]string{}
	for f := e.Header.Fields(); f.Next(); {
		if strings.EqualFold(f.Key(), "Bcc") || strings.EqualFold(f.Key(), "Resent-Bcc") {
			return fmt.Errorf("a Bcc field would be shown to everyone")
		}
		if upstream.IsControlField(f.Key()) {
			return fmt.Errorf("%s would steer the service", f.Key())
		}
		if _, ok := msg.Headers[f.Key()]; !ok {
			text, _ := f.Text()
			msg.Headers[f.Key()] = text
		}
	}
	header := mail.Header{Header: e.Header}
	msg.From = e.Header.Get("From")
	msg.Subject, _ = header.Subject()
	msg.To = addresses(header, "To")
	msg.Cc = addresses(header, "Cc")
	msg.ReplyTo = addresses(header, "Reply-To")
	_ = e.Walk(func(path []int, part *message.Entity, err error) error {
		if part == nil {
			return nil
		}
		return leaf(part, msg)
	})
	return nil
}

var fieldForm = regexp.MustCompile(`^[!-9;-~]+:`)

// fieldsOnly leaves out the header's lines that belong to no field.
func fieldsOnly(raw []byte) []byte {
	var out []byte
	field := false
	for line := range bytes.Lines(raw) {
		raw = raw[len(line):]
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return append(append(out, "\r\n"...), raw...)
		}
		if folded := line[0] == ' ' || line[0] == '\t'; !folded {
			field = fieldForm.Match(line)
		}
		if field {
			out = append(out, line...)
		}
	}
	return append(out, "\r\n"...)
}

func addresses(h mail.Header, name string) []string {
	list, _ := h.AddressList(name)
	var out []string
	for _, a := range list {
		out = append(out, strings.ToLower(a.Address))
	}
	return out
}

// leaf sorts one part: the first text and the first HTML are the bodies, all else is a file.
func leaf(part *message.Entity, msg *Message) error {
	kind, params, _ := part.Header.ContentType()
	if strings.HasPrefix(kind, "multipart/") {
		return nil
	}
	data, err := io.ReadAll(part.Body)
	if err != nil && len(data) == 0 {
		return nil
	}
	disposition, dparams, _ := part.Header.ContentDisposition()
	name := dparams["filename"]
	if name == "" {
		name = params["name"]
	}
	cid := strings.Trim(part.Header.Get("Content-Id"), "<> ")
	switch {
	case disposition != "attachment" && name == "" && kind == "text/plain" && msg.Text == "":
		msg.Text = string(data)
	case disposition != "attachment" && name == "" && kind == "text/html" && msg.HTML == "":
		msg.HTML = string(data)
	case disposition == "" && name == "" && cid == "" && strings.HasPrefix(kind, "text/"):
		msg.Alternatives = append(msg.Alternatives, Alternative{kind, string(data)})
	default:
		msg.Attachments = append(msg.Attachments, Attachment{Name: name, Type: kind, ContentID: cid,
			Inline: disposition != "attachment" && cid != "", Data: data})
	}
	return nil
}
