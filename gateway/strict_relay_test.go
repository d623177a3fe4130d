package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream/upstreamtest"
)

// TestStrictRelayTakesAnyMail: real mail goes through a relay that refuses lines of more than 998 octets, and says
// there what it said at the door.
func TestStrictRelayTakesAnyMail(t *testing.T) {
	var ids, to []string
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("<%030d@mail.example.com>", i))
		to = append(to, fmt.Sprintf("Ann %d <ann%d@example.org>", i, i))
	}
	line := strings.Repeat("<td>a cell of a table on one line</td>", 100)
	const head = "From: x@example.com\nMessage-ID: <m1@example.com>\nDate: Tue, 03 Feb 2026 10:20:30 +0100\nMIME-Version: 1.0\n"
	signed := "Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\n\n--s\nContent-Type: text/html\n\n" + line +
		"\n--s\nContent-Type: application/pgp-signature\n\nsignature\n--s--\n"
	for _, extensions := range [][]string{{"PIPELINING", "8BITMIME", "SIZE"}, {"PIPELINING"}} {
		t.Run(strings.Join(extensions, " "), func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: extensions, MaxLine: wire.MaxLine})
			h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
			for name, mail := range map[string]string{
				"references": "References: " + strings.Join(ids[:50], " ") + "\nTo: b@example.org\nSubject: s\n\ntext\n",
				"thread":     "References: " + strings.Join(ids, "\n ") + "\nTo: b@example.org\nSubject: s\n\ntext\n",
				"to":         "To: " + strings.Join(to, ",") + "\nSubject: s\n\ntext\n",
				"two-to":     "To: " + strings.Join(to[:50], ", ") + "\nTo: " + strings.Join(to[50:], ", ") + "\nSubject: s\n\ntext\n",
				"html":       "To: b@example.org\nContent-Type: text/html; charset=utf-8\n\n<p>ö</p>" + line + "\n",
				"mixed": "To: b@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n" + line +
					"\n--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("QUJD", 1000) + "\n--b--\n",
			} {
				h.mustSend("x@example.com", []string{name + "@example.org"}, head+mail)
				h.sentRecord(name + "@example.org")
				got := parsed(t, dataFor(relay, name+"@example.org"))
				sent := parsed(t, []byte(strings.ReplaceAll(head+mail, "\n", "\r\n")))
				if got.Subject != sent.Subject || len(got.To) != len(sent.To) || len(got.Header.Values("To")) != 1 {
					t.Errorf("%s: %q", name, got.HeaderBytes())
				}
				all, kept := strings.Fields(sent.Header.Get("References")), strings.Fields(got.Header.Get("References"))
				if len(all) > 0 && (kept[0] != all[0] || kept[len(kept)-1] != all[len(all)-1] || len(kept) < min(len(all), 70)) {
					t.Errorf("%s: of %d references %d are left", name, len(all), len(kept))
				}
				for i, p := range sent.Root.Leaves() {
					if want, is := content(t, p), content(t, got.Root.Leaves()[i]); !bytes.Equal(want, is) {
						t.Errorf("%s: part %d became %.200q", name, i, is)
					}
				}
			}
			h.mustSend("x@example.com", []string{"signed@example.org"}, head+"To: b@example.org\n"+signed)
			h.await("the refusal", func() bool { return strings.Contains(h.log.String(), "a line of 3800 octets") })
		})
	}
	t.Run("left alone and said", func(t *testing.T) {
		t.Parallel()
		relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
		h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
		h.mustSend("x@example.com", []string{"signed@example.org"}, head+"To: b@example.org\n"+signed)
		h.sentRecord("signed@example.org")
		if !bytes.HasSuffix(dataFor(relay, "signed@example.org"), []byte(strings.ReplaceAll(signed, "\n", "\r\n"))) {
			t.Error("the signed mail was changed")
		}
		h.await("the note", func() bool {
			return strings.Contains(h.log.String(), `note="lines of more than 998 bytes were left as they are in multipart/signed`)
		})
	})
}

// TestInjectionByCR: a program that filters LF alone lets nobody add a field.
func TestInjectionByCR(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
	h.mustSend("x@example.com", []string{"a@example.org"}, "From: x@example.com\nSubject: x\rX-Injected: 1\nTo: a@example.org\n\na\rb\n")
	h.sentRecord("a@example.org")
	got := parsed(t, dataFor(relay, "a@example.org"))
	if got.Header.Has("X-Injected") || got.Subject != "x X-Injected: 1" {
		t.Errorf("%q", got.HeaderBytes())
	}
	if body := content(t, got.Root); string(body) != "a\r\nb\r\n" {
		t.Errorf("body %q", body)
	}
	h.mustSend("x@example.com", []string{"part@example.org"}, "From: x@example.com\nTo: part@example.org\n"+
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n"+
		"Content-Type: application/pdf; name=\"a\rContent-Disposition: inline\rX-Injected: 1\"\n\na\rb\n--b--\n")
	h.sentRecord("part@example.org")
	part := parsed(t, dataFor(relay, "part@example.org")).Root.Children[0]
	if len(part.Header) != 1 || part.Name != "a Content-Disposition: inline X-Injected: 1" {
		t.Errorf("header of a part %q", part.Header[0].Raw)
	}
	if body := content(t, part); string(body) != "a\r\nb" {
		t.Errorf("body of a part %q", body)
	}
}

// dataFor returns the last message that a relay took for a recipient.
func dataFor(relay *upstreamtest.SMTP, to string) (data []byte) {
	for _, m := range relay.Taken() {
		for _, r := range m.To {
			if r.Address == to {
				data = m.Data
			}
		}
	}
	return data
}

func parsed(t *testing.T, raw []byte) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func content(t *testing.T, p *mime.Part) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(p.Open()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
