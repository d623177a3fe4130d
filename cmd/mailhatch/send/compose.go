package send

import (
	"fmt"
	"io"
	stdmime "mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	mail "github.com/wneessen/go-mail"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Compose writes the message into m and returns its envelope.
func (l *Letter) Compose(m *submit.Spool) (*envelope.Envelope, error) {
	from, err := l.sender()
	if err != nil {
		return nil, err
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	header := func(name string, list []mime.Address) {
		if len(list) > 0 {
			// SetAddrHeader does not accept names without a domain.
			msg.SetGenHeaderPreformatted(mail.Header(name), joinAddresses(list))
		}
	}
	header("From", []mime.Address{from})
	env := &envelope.Envelope{From: from.Addr}
	var to []string
	for _, field := range []struct {
		flag, name string
		words      []string
		gets, seen bool
	}{
		{"--to", "To", l.To, true, true}, {"--cc", "Cc", l.Cc, true, true}, {"--bcc", "Bcc", l.Bcc, true, false},
		{"--reply-to", "Reply-To", l.ReplyTo, false, true},
	} {
		list, err := addressList(field.flag, field.words)
		if err != nil {
			return nil, err
		}
		if field.seen {
			header(field.name, list)
		}
		for _, a := range list {
			if field.gets {
				to = append(to, a.Addr)
			}
		}
	}
	for _, addr := range submit.Unique(to) {
		env.To = append(env.To, envelope.Recipient{Address: addr})
	}
	now := time.Now()
	msg.SetDateWithValue(now)
	msg.SetMessageIDWithValue(strings.Trim(submit.MessageID(now), "<>"))
	if l.Subject != "" {
		msg.Subject(submit.Text(l.Subject, os.Getenv))
	}
	l.setText(msg)
	if err := l.attachFiles(msg); err != nil {
		return nil, err
	}
	if _, err := msg.WriteTo(m); err != nil {
		return nil, fmt.Errorf("cannot compose the message: %w", err)
	}
	return env, nil
}

// joinAddresses formats an address list, one a line (RFC 5322 3.4).
func joinAddresses(list []mime.Address) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	return strings.Join(words, ",\r\n ")
}

// setText sets the body. Bytes that are not UTF-8 are sent unchanged, as ISO-8859-1.
func (l *Letter) setText(msg *mail.Msg) {
	contentType, charset := mail.TypeTextPlain, mail.CharsetUTF8
	if l.HTML {
		contentType = mail.TypeTextHTML
	}
	if !utf8.ValidString(l.Text) {
		charset = mail.CharsetISO88591
	}
	msg.SetBodyString(contentType, l.Text, mail.WithPartCharset(charset))
}

func (l *Letter) attachFiles(msg *mail.Msg) error {
	for _, path := range l.Attach {
		kind, err := fileType(path)
		if err != nil {
			return err
		}
		msg.AttachFile(path, mail.WithFileContentType(mail.ContentType(kind)), named(filepath.Base(path), kind))
	}
	return nil
}

// named gives a file its name. Where that is not ASCII, go-mail would write it as an encoded word in quotes, which
// RFC 2047 section 5 forbids and readers show as it is; RFC 2231 has a form for it.
func named(name, kind string) mail.FileOption {
	return func(f *mail.File) {
		f.Name = name
		if !strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e }) {
			return
		}
		media, params, err := stdmime.ParseMediaType(kind)
		if err != nil {
			media, params = binaryType, map[string]string{}
		}
		params["name"] = name
		f.Header.Set("Content-Type", stdmime.FormatMediaType(media, params))
		f.Header.Set("Content-Disposition", stdmime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
}

// binaryType is the type of files whose type is not known (RFC 2046 4.5.1).
const binaryType = "application/octet-stream"

// fileType returns the media type of a file: by the extension of its name, else by its first bytes. A file
// that is text by its name and not by its bytes is binary.
func fileType(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("--attach: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = command.Hintf(fmt.Errorf("--attach: %s is a directory", path), "pack it first, with tar or zip")
	}
	if err != nil {
		return "", err
	}
	start := make([]byte, 512) // what DetectContentType looks at
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", fmt.Errorf("--attach: %w", err)
	}
	sniffed := http.DetectContentType(start[:n])
	kind := stdmime.TypeByExtension(filepath.Ext(path))
	switch {
	case kind == "":
		kind = sniffed
	case strings.HasPrefix(kind, "text/") && sniffed == binaryType:
		kind = binaryType
	}
	if !isUTF8(start[:n]) { // the charset that both assume
		kind, _, _ = strings.Cut(kind, ";")
	}
	return kind, nil
}

// isUTF8 reports whether the start of a file, which may end within a character, is UTF-8.
func isUTF8(start []byte) bool {
	for range utf8.UTFMax - 1 {
		if utf8.Valid(start) || len(start) == 0 {
			return true
		}
		start = start[:len(start)-1]
	}
	return utf8.Valid(start)
}
