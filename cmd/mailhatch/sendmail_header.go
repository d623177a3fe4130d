package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/identity"
	"mailhatch/gateway/maildrop"
	"mailhatch/mime"
)

// maxSendmailHeader is the longest header, in bytes.
const maxSendmailHeader = 1 << 20

// byteOrderMark is what editors of other systems put before UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// readInput reads a message and gives its header, line ends CRLF, and the reader of all that follows the
// empty line. A first line "From …" of a mailbox file goes; a message that does not begin with a
// header is all body. A line that is no field ends the header, unless fields that must not be
// overlooked come after it: hidden recipients, and with -t all recipients.
func readInput(r io.Reader, fromHeader bool) (fields mime.Header, raw []byte, body io.Reader, err error) {
	br := bufio.NewReader(maildrop.CRLF(r))
	if start, _ := br.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = br.Discard(len(byteOrderMark)) // it would become part of a field's name, To not be found
	}
	if err := skipMailbox(br); err != nil {
		return nil, nil, nil, err
	}
	raw, body, err = mime.ReadHeader(br, maxSendmailHeader)
	if errors.Is(err, mime.ErrHeaderTooLarge) && startsWithField(raw) {
		return nil, nil, nil, exitf(exDataErr, "the header is longer than %d bytes", maxSendmailHeader)
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

// namesRecipients tells whether a field has recipients that would be shown or, with -t, forgotten if
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

// skipMailbox passes over the line that begins a message in a mailbox file.
// Errors of reading.
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

// unique leaves each address once, at its first place.
func unique(list []string) []string {
	seen := map[string]bool{}
	out := list[:0]
	for _, s := range list {
		if key := strings.ToLower(s); !seen[key] {
			seen[key] = true
			out = append(out, s)
		}
	}
	return out
}

// author is who calls sendmail.
type author struct {
	name string // full name; may be empty
	addr string // a bare name is completed by the gateway
}

// newAuthor asks -f, -F, $NAME, $EMAIL and the account, in this order.
func newAuthor(f *sendmailFlags, getenv func(string) string) author {
	login, gecos := account(getenv)
	a := author{name: gecos, addr: login}
	if list, err := mime.ParseAddressList(getenv("EMAIL")); err == nil && len(list) == 1 {
		a.addr = list[0].Addr
		if list[0].Name != "" {
			a.name = list[0].Name
		}
	}
	if f.sender != nil && *f.sender != "" {
		a.addr, a.name = *f.sender, ""
	}
	for _, name := range []string{getenv("NAME"), f.fullName} {
		if name != "" {
			a.name = name
		}
	}
	return a
}

// account gives login and full name of the account that runs the program; the first field of gecos
// may have & for the login (passwd(5)). In an account without a name, as containers have them,
// $LOGNAME or $USER is believed.
func account(getenv func(string) string) (login, gecos string) {
	uid := os.Getuid()
	if uid < 0 { // Windows
		if u, err := user.Current(); err == nil {
			return u.Username[strings.LastIndexByte(u.Username, '\\')+1:], u.Name
		}
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil && u.Username != "" {
		if u.Username != "" {
			gecos = strings.ReplaceAll(u.Name, "&", strings.ToUpper(u.Username[:1])+u.Username[1:])
		}
		return u.Username, gecos
	}
	for _, name := range []string{getenv("LOGNAME"), getenv("USER")} {
		if list, err := mime.ParseAddressList(name); err == nil && len(list) == 1 {
			return list[0].Addr, ""
		}
	}
	return "uid" + strconv.Itoa(uid), ""
}

// complete adds the fields that a message needs (RFC 6409 8) and takes Bcc and Resent-Bcc away.
func complete(fields mime.Header, raw []byte, a author, now time.Time) []byte {
	edits := []mime.Edit{{Op: mime.Remove, Name: "Bcc"}, {Op: mime.Remove, Name: "Resent-Bcc"}}
	missing := func(name, value string) {
		if fields.Get(name) == "" {
			edits = append(edits, mime.Edit{Op: mime.Replace, Name: name, Value: value})
		}
	}
	missing("Date", now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	missing("From", mime.Address{Name: a.name, Addr: a.addr}.String())
	missing("Message-ID", messageID(now))
	return mime.EditHeader(raw, edits...)
}

// messageID makes one here, not in the gateway: a message that is offered twice keeps it.
func messageID(now time.Time) string {
	host, err := os.Hostname()
	if err != nil || identity.CheckDomain(host) != nil {
		host = "localhost"
	}
	return fmt.Sprintf("<%s.%s@%s>", now.UTC().Format("20060102150405"), rand.Text(), host)
}
