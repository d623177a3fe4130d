package raw

import (
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

func makeMail(t *testing.T, from, message string) *upstream.Mail {
	t.Helper()
	msg, err := mime.Parse(mime.NewBytesSource([]byte(strings.ReplaceAll(message, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return &upstream.Mail{ID: "Q", From: from, Message: msg, To: []upstream.Recipient{{Address: "ann@example.org"}}}
}

func read(t *testing.T, s api.Segment) string {
	t.Helper()
	b, err := io.ReadAll(s.Open())
	if err != nil || int64(len(b)) != s.Length {
		t.Fatalf("%d bytes of %d, %v", len(b), s.Length, err)
	}
	return string(b)
}

func TestMessage(t *testing.T) {
	for _, row := range []struct {
		name, from, message, want string // the message as it leaves, or the words of the error
		domain                    string
		own                       []string
	}{
		{name: "as it is", message: "From: a@example.com\nMessage-ID: <m@x>\nX-Other: 1\n\nbody \xff\n", want: "From: a@example.com\nMessage-ID: <m@x>\nX-Other: 1\n\nbody \xff\n"},
		{name: "hidden and steering fields", message: "Return-Path: <b@x>\nFrom: a@example.com\nBcc: c@x\nX-MC-Tags: t\nResent-Bcc: d@x\nMessage-ID: <m@x>\n\nbody\n",
			want: "From: a@example.com\nMessage-ID: <m@x>\n\nbody\n"},
		{name: "lines of mailbox files, repeated lists, lone CR", message: "Received: x\n>From root\nFrom: a@example.com\nTo: b@x\nTo: c@x\nMessage-ID: <m@x>\nX: 1\rBcc: d@x\n\n>From me\n",
			want: "Received: x\nFrom: a@example.com\nTo: b@x, c@x\nMessage-ID: <m@x>\nX: 1 Bcc: d@x\n\n>From me\n"},
		{name: "the operator's", message: "From: a@example.com\nX-SES-Tag: t\nX-MC-Tags: t\nX-PM-Tag: t\nMessage-ID: <m@x>\n\nbody\n", own: []string{"x-ses-tag", "x-pm-tag"},
			want: "From: a@example.com\nX-SES-Tag: t\nMessage-ID: <m@x>\n\nbody\n"},
		{name: "no Message-ID", message: "From: a@example.com\n\nbody\n", want: "From: a@example.com\nMessage-ID: <Q@example.com>\n\nbody\n"},
		{name: "no Message-ID, another domain", message: "From: a@example.com\n\nbody\n", domain: "mg.example.com", want: "From: a@example.com\nMessage-ID: <Q@mg.example.com>\n\nbody\n"},
		{name: "From without an address", from: "app@example.com", message: "From: The App\nMessage-ID: <m@x>\n\nbody\n",
			want: "From: The App <app@example.com>\nMessage-ID: <m@x>\n\nbody\n"},
		{name: "no From at all", message: "Message-ID: <m@x>\n\nbody\n", want: "no From address and no envelope sender"},
		{name: "From beyond ASCII", message: "From: jörg@example.com\nMessage-ID: <m@x>\n\nbody\n", want: "beyond ASCII"},
		{name: "too large", message: "From: a@example.com\nMessage-ID: <m@x>\n\n" + strings.Repeat("x", 1000), want: "Provider takes 500"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := Form{Provider: "Provider", Bytes: 500, Domain: row.domain, Options: "X-PM-*"}
			m := makeMail(t, row.from, row.message)
			m.Own = row.own
			src, e := f.Message(m)
			if e != nil {
				if e.Class != upstream.Unrepresentable || !strings.Contains(e.Error(), row.want) {
					t.Errorf("%v, want %s", e, row.want)
				}
				if early := f.Refuses(m); early == nil && !strings.Contains(e.Error(), "takes 500") {
					t.Error("Refuses did not see it")
				}
				return
			}
			if e := f.Refuses(m); e != nil {
				t.Error(e)
			}
			got := read(t, Bytes(src))
			if fields := strings.ReplaceAll(got, "\r\n", "\n"); sorted(fields) != sorted(row.want) {
				t.Errorf("got\n%s\nwant\n%s", fields, row.want)
			}
			for encoding, segment := range map[*base64.Encoding]api.Segment{base64.StdEncoding: Base64(src), base64.URLEncoding: Base64URL(src)} {
				if b, err := encoding.DecodeString(read(t, segment)); err != nil || string(b) != got {
					t.Errorf("in base64 it is %q, %v", b, err)
				}
			}
		})
	}
}

// TestLongLines: the relays behind an API get no long line either.
func TestLongLines(t *testing.T) {
	line := strings.Repeat("x ", 500) + "end"
	src, e := Form{Bytes: 5000}.Message(makeMail(t, "", "From: a@example.com\nMIME-Version: 1.0\nMessage-ID: <m@x>\nReferences: "+strings.Repeat("<a@x> ", 300)+"\n\n"+line))
	if e != nil {
		t.Fatal(e)
	}
	text := read(t, Bytes(src))
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > wire.MaxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	m, err := mime.Parse(mime.NewBytesSource([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(m.Root.Open()); err != nil || string(body) != line {
		t.Errorf("%q, %v", body, err)
	}
	const head = "From: a@example.com\nMIME-Version: 1.0\nMessage-ID: <m@x>\n\n"
	whole := strings.ReplaceAll(head+line, "\n", "\r\n")
	if src, e = (Form{Bytes: int64(len(whole))}).Message(makeMail(t, "", head+line)); e != nil || read(t, Bytes(src)) != whole {
		t.Errorf("a mail that just fits: %v", e)
	}
}

// sorted puts the fields of a header in order: where one that was missing stands does not matter.
func sorted(message string) string {
	head, body, _ := strings.Cut(message, "\n\n")
	fields := strings.Split(head, "\n")
	slices.Sort(fields)
	return strings.Join(fields, "\n") + "\n\n" + body
}

func TestParts(t *testing.T) {
	told := Told{}
	told.Add("Ann@Example.org", api.Part{ID: "1"})
	told.Add("bob@example.org", api.Part{Err: &upstream.Error{Class: upstream.Permanent}})
	parts := told.Parts(&api.Call{Keys: []string{"bob@example.org", "cy@example.org", "ann@example.org"}}, 200)
	if parts[0].Err.Class != upstream.Permanent || parts[1].Err.Class != upstream.Uncertain || parts[1].Err.Status != 200 || parts[2] != (api.Part{ID: "1"}) {
		t.Errorf("%+v", parts)
	}
}

// TestEditsAndCheck: a kind sees the header as it would leave, and as it leaves.
func TestEditsAndCheck(t *testing.T) {
	f := Form{Bytes: 1000, sevenBit: true,
		Edits: func(m *upstream.Mail, h mime.Header) []mime.Edit {
			if h.Has("Bcc") || !h.Has("Message-ID") || m.ID != "Q" {
				t.Errorf("%v", h)
			}
			return []mime.Edit{{Op: mime.Replace, Name: "X-More", Value: "ü"}}
		},
		Check: func(h mime.Header) *upstream.Error {
			if !mime.IsASCII([]byte(h.Get("X-More"))) || !h.Has("X-More") {
				t.Errorf("%v", h)
			}
			return api.Errorf(upstream.Unrepresentable, "5.6.0", "no")
		}}
	if _, e := f.Message(makeMail(t, "", "From: a@example.com\nBcc: b@x\n\nbody\n")); e == nil || e.Code != "5.6.0" {
		t.Error(e)
	}
}
