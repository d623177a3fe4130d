package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
)

// arrived is a message as an independent reader sees it: the standard library, not the gateway's.
type arrived struct {
	header  mail.Header
	from    string
	subject string
	text    string
	files   [][]byte
}

// check holds what the upstream was given against the order.
func (m *order) check(got []kept) error {
	var errs []error
	var to []string
	for _, k := range got {
		to = append(to, k.To...)
		if k.From != m.sender {
			errs = append(errs, fmt.Errorf("envelope sender %q, want %q", k.From, m.sender))
		}
		if k.Raw != nil {
			k.Source = string(k.Raw)
		}
		errs = append(errs, m.checkMessage(k.Source))
	}
	slices.Sort(to)
	want := slices.Sorted(slices.Values(m.to))
	if !slices.Equal(to, want) {
		errs = append(errs, fmt.Errorf("recipients %q, want %q", to, want))
	}
	return errors.Join(errs...)
}

func (m *order) checkMessage(source string) error {
	a, err := readMessage(source)
	if err != nil {
		return fmt.Errorf("the message cannot be read: %w", err)
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if a.from != m.from {
		wrong("From %q, want %q", a.from, m.from)
	}
	if a.subject != m.subject {
		wrong("subject %q, want %q", a.subject, m.subject)
	}
	text, wantText := tidy(a.text), tidy(m.text)
	if text != wantText && !(m.contains && strings.Contains(text, wantText)) {
		wrong("text %q, want %q", text, wantText)
	}
	switch {
	case m.file == nil:
	case len(a.files) != 1:
		wrong("%d attachments, want 1", len(a.files))
	case sha256.Sum256(a.files[0]) != sha256.Sum256(m.file):
		wrong("the attachment has %d other bytes, want %d", len(a.files[0]), len(m.file))
	}
	header, _, _ := strings.Cut(source, "\r\n\r\n")
	if m.hidden && strings.Contains(header, bccAddress) {
		wrong("the header shows %s", bccAddress)
	}
	for _, name := range []string{"Date", "Message-Id", "From"} {
		if len(a.header[name]) != 1 {
			wrong("%d fields %s, want 1", len(a.header[name]), name)
		}
	}
	return errors.Join(errs...)
}

// tidy is a text without CRs, of which some programs write two, and what is added at its end.
func tidy(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "\r", ""), "\n \t")
}

func readMessage(source string) (*arrived, error) {
	msg, err := mail.ReadMessage(strings.NewReader(source))
	if err != nil {
		return nil, err
	}
	a := &arrived{header: msg.Header}
	list, err := msg.Header.AddressList("From")
	if err != nil || len(list) != 1 {
		return nil, fmt.Errorf("From: %q: %w", msg.Header.Get("From"), err)
	}
	a.from = list[0].Address
	words := mime.WordDecoder{CharsetReader: latin}
	if a.subject, err = words.DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return nil, err
	}
	return a, a.readPart(msg.Header.Get, msg.Body)
}

// readPart takes the first text for the text and all else for files.
func (a *arrived) readPart(header func(string) string, body io.Reader) error {
	kind := header("Content-Type")
	if kind == "" {
		kind = "text/plain; charset=us-ascii"
	}
	mediaType, params, err := mime.ParseMediaType(kind)
	if err != nil {
		return fmt.Errorf("Content-Type %q: %w", kind, err)
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := a.readPart(p.Header.Get, p); err != nil {
				return err
			}
		}
	}
	content, err := io.ReadAll(decoded(header("Content-Transfer-Encoding"), body))
	if err != nil {
		return err
	}
	disposition, _, _ := mime.ParseMediaType(header("Content-Disposition"))
	if strings.HasPrefix(mediaType, "text/") && disposition != "attachment" && a.text == "" {
		if a.text, err = inUTF8(params["charset"], content); err != nil {
			return err
		}
		return nil
	}
	a.files = append(a.files, content)
	return nil
}

// decoded undoes a transfer encoding (RFC 2045 6).
func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}

func inUTF8(charset string, content []byte) (string, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "us-ascii", "ascii":
		return string(content), nil
	}
	r, err := latin(strings.ToLower(charset), bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

// latin reads ISO 8859-1, which some programs choose where it is enough.
func latin(charset string, r io.Reader) (io.Reader, error) {
	if charset != "iso-8859-1" {
		return nil, fmt.Errorf("charset %q", charset)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return strings.NewReader(string(runes)), nil
}
