package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	stdmime "mime"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	"golang.org/x/net/html/charset"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/upstreamtest"
)

// reading is a message as read without any of mailhatch's own code.
type reading struct {
	subject string
	header  textproto.MIMEHeader // decoded
	leaves  []leafReading
}

type leafReading struct {
	kind, name, contentID string
	sum                   string // of the decoded bytes
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readIndependently reads with go-message and the standard library.
func readIndependently(t *testing.T, m *upstream.Mail) reading {
	t.Helper()
	words := &stdmime.WordDecoder{CharsetReader: func(name string, r io.Reader) (io.Reader, error) {
		return charset.NewReaderLabel(name, r)
	}}
	decode := func(s string) string {
		if d, err := words.DecodeHeader(s); err == nil {
			s = asBrowsersRead(d)
		}
		return strings.Join(strings.Fields(s), " ")
	}
	out := reading{header: textproto.MIMEHeader{}}
	e := readEntity(t, m)
	for f := e.Header.Fields(); f.Next(); {
		out.header.Add(f.Key(), decode(f.Value()))
	}
	out.subject = out.header.Get("Subject")
	_ = e.Walk(func(_ []int, part *message.Entity, _ error) error {
		if part == nil {
			return nil
		}
		kind, params, _ := part.Header.ContentType()
		data, err := io.ReadAll(part.Body)
		if err != nil || strings.HasPrefix(kind, "multipart/") {
			return nil
		}
		_, disposition, _ := part.Header.ContentDisposition()
		name := disposition["filename"]
		if name == "" {
			name = params["name"]
		}
		out.leaves = append(out.leaves, leafReading{kind, decode(name), strings.Trim(part.Header.Get("Content-Id"), "<> "), sumOf(data)})
		return nil
	})
	return out
}

var fieldLine = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)

// readEntity reads with go-message, which gives up at a line that is no field: such lines get an indent.
func readEntity(t *testing.T, m *upstream.Mail) *message.Entity {
	t.Helper()
	raw, err := io.ReadAll(m.Message.Reader())
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := message.Read(bytes.NewReader(raw)); e != nil {
		return e
	}
	header, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	lines := strings.Split(header, "\r\n")
	lines = slices.DeleteFunc(lines, func(s string) bool { return strings.HasPrefix(s, "From ") })
	for i, line := range lines {
		if !fieldLine.MatchString(line) {
			lines[i] = " " + line
		}
	}
	e, err := message.Read(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n" + body))
	if e == nil {
		t.Fatal(err)
	}
	return e
}

// unkept are fields that JSON APIs have a place of their own for, or that are left out on purpose.
var unkept = []string{"From", "To", "Cc", "Bcc", "Resent-Bcc", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version", "Received",
	"Return-Path", "Dkim-Signature", "X-Google-Dkim-Signature", "Arc-Seal", "Authentication-Results", "X-Sg-Eid", "X-Smtpapi", "X-Msys-Api",
	"Resend-Idempotency-Key"}

var unkeptStems = []string{"Content-", "X-Mailgun-", "X-Mc-", "X-Ses-", "X-Sib-", "X-Pm-"}

// TestFidelity decodes every request back and compares it with an independent reading of its source:
// subject, header fields, and the hash, name and content id of each file. TestGoldenRequests compares
// recipients, texts and bytes.
func TestFidelity(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		for name, m := range readMails(t) {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				fake.Reset()
				fake.Forget()
				up.Send(t.Context(), m)
				src := readIndependently(t, m)
				for _, got := range fake.Accepted() {
					compareHeaders(t, name, kind.dropped, src, got)
					compareFiles(t, src, got)
				}
			})
		}
	}
}

func compareHeaders(t *testing.T, name string, dropped []string, src reading, got upstreamtest.Message) {
	t.Helper()
	raw8bit := strings.Contains(name, "raw") // go-message leaves such fields as they are
	if subject := strings.TrimSpace(got.Subject); subject != src.subject && !raw8bit && !got.Whole {
		t.Errorf("subject %q, want %q", subject, src.subject)
	}
	if got.Whole {
		for key := range src.header {
			if _, ok := got.Headers[key]; !ok && !slices.Contains(unkept, key) && !isUnkept(key) && !slices.Contains(dropped, key) {
				t.Errorf("the field %s is gone", key)
			}
		}
		return
	}
	values := textproto.MIMEHeader{}
	for k, v := range got.Headers {
		values.Set(k, strings.Join(strings.Fields(v), " "))
	}
	if id := src.header.Get("Message-Id"); id != values.Get("X-Original-Message-Id") {
		t.Errorf("X-Original-Message-ID is %q, want %q", values.Get("X-Original-Message-Id"), id)
	}
	for key, list := range src.header {
		if slices.Contains(unkept, key) || isUnkept(key) || list[0] == "" || raw8bit {
			continue
		}
		if got.Provider == "brevo" && !api.IsASCII(list[0]) {
			continue // it would leave as raw bytes
		}
		if !strings.Contains(values.Get(key), list[0]) {
			t.Errorf("%s is %q, want %q", key, values.Get(key), list[0])
		}
	}
}

func isUnkept(key string) bool {
	return slices.ContainsFunc(unkeptStems, func(stem string) bool { return strings.HasPrefix(key, stem) })
}

// compareFiles looks for each named leaf, by hash; texts as files are compared by TestGoldenRequests.
func compareFiles(t *testing.T, src reading, got upstreamtest.Message) {
	t.Helper()
	for _, leaf := range src.leaves {
		if leaf.name == "" || strings.HasPrefix(leaf.kind, "text/") {
			continue
		}
		i := slices.IndexFunc(got.Attachments, func(a upstreamtest.Attachment) bool {
			return sumOf(a.Data) == leaf.sum && strings.HasPrefix(a.Name, leaf.name[:min(len(leaf.name), 4)])
		})
		if i < 0 && leaf.sum == sumOf(nil) {
			continue // an empty file gets one line end
		}
		if i < 0 {
			t.Errorf("the file %q (%s) did not arrive", leaf.name, leaf.kind)
			continue
		}
		a := got.Attachments[i]
		if clean := strings.Join(strings.Fields(a.Name), " "); !strings.HasPrefix(clean, leaf.name) {
			t.Errorf("the file %q is named %q", leaf.name, a.Name)
		}
		if a.Inline && a.ContentID != leaf.contentID {
			t.Errorf("the content id %q became %q", leaf.contentID, a.ContentID)
		}
	}
}
