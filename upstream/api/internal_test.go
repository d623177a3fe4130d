package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/mime/view"
	"mailhatch/upstream"
)

func TestRetryAfterSpellings(t *testing.T) {
	now := time.Unix(1_770_000_000, 0)
	rows := []struct {
		header, value, message string
		throttled              bool
		want                   time.Duration
	}{
		{"Retry-After", "30", "", false, 30 * time.Second},
		{"Retry-After", "0", "", true, 0},
		{"Retry-After", "-5", "", true, 0},
		{"Retry-After", "NaN", "", true, 0},
		{"Retry-After", "Mon, 02 Feb 2026 02:41:00 GMT", "", false, time.Minute},
		{"Retry-After", "Mon, 02 Feb 2026 02:39:00 GMT", "", false, 0},
		{"Retry-After", "1770000090", "", false, 90 * time.Second},
		{"RateLimit-Reset", "4", "", true, 4 * time.Second},
		{"RateLimit-Reset", "4", "", false, 0},
		{"X-RateLimit-Reset", "1770000002.75", "", true, 2750 * time.Millisecond},
		{"X-RateLimit-Reset", "1770000002750", "", true, 2750 * time.Millisecond},
		{"X-RateLimit-Reset", "60", "", true, time.Minute},
		{"X-RateLimit-Reset", "1e300", "", true, 24 * time.Hour},
		{"X", "", "limit exceeded, try again after 120 seconds", true, 2 * time.Minute},
		{"X", "", "Try again in 3 minutes.", true, 3 * time.Minute},
		{"X", "", "try again after 2h", true, 2 * time.Hour},
		{"X", "", "try again in 7 days", true, 24 * time.Hour},
		{"X", "", "try again in 9", true, 9 * time.Second},
		{"X", "", "try again later", true, 0},
	}
	for _, row := range rows {
		h := http.Header{}
		h.Set(row.header, row.value)
		if got := retryAfter(h, row.message, row.throttled, now); got != row.want {
			t.Errorf("%s: %s %q: %v, want %v", row.header, row.value, row.message, got, row.want)
		}
	}
}

func TestBase64Reader(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, base64Chunk - 1, base64Chunk, base64Chunk + 1, 3 * base64Chunk} {
		src := strings.Repeat("x", n)
		got, err := io.ReadAll(iotest.OneByteReader(&base64Reader{encoding: base64.StdEncoding, chunk: base64Chunk, src: iotest.HalfReader(strings.NewReader(src))}))
		if err != nil || len(got) != (n+2)/3*4 {
			t.Errorf("%d bytes make %d: %v", n, len(got), err)
		}
	}
	r := &base64Reader{encoding: base64.StdEncoding, chunk: base64Chunk, src: iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abcdef")))}
	if _, err := io.ReadAll(r); err != iotest.ErrTimeout {
		t.Errorf("the error of the source became %v", err)
	}
}

// TestShortSources: a message whose file was cut short after it was parsed must not make a request
// that looks whole.
func TestShortSources(t *testing.T) {
	torn := io.MultiReader(strings.NewReader("abcdef"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if got, err := io.ReadAll(&base64Reader{encoding: base64.StdEncoding, chunk: base64Chunk, src: torn}); err != io.ErrUnexpectedEOF {
		t.Errorf("a source that broke gave %q, %v", got, err)
	}
	for _, row := range []struct {
		length int64
		want   error
	}{{3, nil}, {4, io.ErrUnexpectedEOF}, {0, nil}} {
		src := strings.Repeat("x", 3)[:min(row.length, 3)]
		p := Payload{{Literal: []byte("a")}, {Length: row.length, Open: func() io.Reader { return strings.NewReader(src) }}, {Literal: []byte("b")}}
		got, err := io.ReadAll(p.Open())
		if err != row.want || err == nil && string(got) != "a"+src+"b" {
			t.Errorf("%d bytes promised: %q, %v", row.length, got, err)
		}
	}
}

func parsePart(t *testing.T, raw string) *mime.Part {
	t.Helper()
	msg, err := mime.Parse(mime.NewBytesSource([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return msg.Root
}

// written is a text as it stands in a request.
func written(t *testing.T, text Text) string {
	t.Helper()
	var j Object
	j.Text(text)
	j.flush()
	b, err := io.ReadAll(j.done.Open())
	if err != nil || int64(len(b)) != j.done.Size() {
		t.Fatalf("%d bytes of %d: %v", len(b), j.done.Size(), err)
	}
	return string(b)
}

// inJSON is what encoding/json makes of a text without NUL.
func inJSON(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plainText(text)); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestLargeTexts compares texts that are read as they are sent with those that are held in memory.
func TestLargeTexts(t *testing.T) {
	messages := mimetest.Hostile(1 << 17)
	for i, text := range []string{"", " \r\n", "\x00\x01\x1f\x7f\b\f\n\r\t\"\\/<>&", "é日本😀\u2028\u2029\ufffd\ufeff", "\xff\xe2\x82", strings.Repeat("a", 4095) + "😀"} {
		messages[fmt.Sprint(i)] = "Content-Type: text/html\r\n\r\n" + text
	}
	for name, raw := range messages {
		m, err := mime.Parse(mime.NewBytesSource([]byte(raw)))
		if err != nil {
			t.Fatal(err)
		}
		c, err := view.Of(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []*view.Body{c.Text, c.HTML} {
			if body == nil {
				continue
			}
			whole, err := io.ReadAll(body.Open())
			if err != nil {
				t.Fatal(err)
			}
			small := Text{small: plainText(string(whole)), body: body}
			large, err := streamed(body.Open, body)
			if err != nil {
				t.Fatal(err)
			}
			want := inJSON(t, string(whole))
			if got := written(t, large); got != want || got != written(t, small) {
				t.Errorf("%s: %.200s, want %.200s", name, got, want)
			}
			if got, want := written(t, large.OrSpace()), inJSON(t, OrSpace(string(whole))); got != want {
				t.Errorf("%s, or space: %.200s, want %.200s", name, got, want)
			}
		}
	}
}

func TestReadAlternative(t *testing.T) {
	rows := []struct {
		raw, mediaType, value string
		ok                    bool
	}{
		{"Content-Type: text/calendar; method=REQUEST\n\nBEGIN", "text/calendar; method=REQUEST", "BEGIN", true},
		{"Content-Type: text/calendar; charset=iso-8859-1\n\nGr\xfc\xdfe", "text/calendar", "Grüße", true},
		{"Content-Type: text/calendar; charset=utf-8\n\nGr\xfc\xdfe", "", "", false},
		{"Content-Type: text/calendar; charset=x-odd\n\nx", "", "", false},
		{"Content-Type: text/calendar\n\n", "", "", false},
		{"Content-Type: application/json\n\n{}", "", "", false},
		{"Content-Type: text/calendar\n\n" + strings.Repeat("x", alternativeLimit+1), "", "", false},
		{"Content-Type: text/calendar; charset=iso-8859-1\n\n" + strings.Repeat("\xfc\"\x00", mime.TextInMemory), "text/calendar", strings.Repeat("ü\"\uFFFD", mime.TextInMemory), true},
		{"Content-Type: text/calendar\n\n" + strings.Repeat("x", mime.TextInMemory) + "\xfc", "", "", false},
	}
	for _, row := range rows {
		alt, ok, err := readAlternative(parsePart(t, row.raw))
		if err != nil || ok != row.ok || ok && (alt.MediaType != row.mediaType || written(t, alt.Value) != inJSON(t, row.value)) {
			t.Errorf("%.60q: %.60v %v %v", row.raw, alt, ok, err)
		}
	}
	for raw, want := range map[string]string{
		"Content-Type: text/calendar\n\nx":                       "invite.ics",
		"Content-Type: text/calendar; name=\"meeting.ics\"\n\nx": "meeting.ics",
		"Content-Type: text/x-amp-html\n\nx":                     "amp.html",
		"Content-Type: text/x-odd\n\nx":                          "alternative.bin",
	} {
		if got := alternativeName(parsePart(t, raw)); got != want {
			t.Errorf("%q: %s", raw, got)
		}
	}
}

func TestSenderOfAPIs(t *testing.T) {
	rows := []struct{ header, envelope, from, replyTo, code string }{
		{"From: A <a@x.org>", "e@x.org", "A <a@x.org>", "", ""},
		{"From: a@x.org, B <b@x.org>", "", "a@x.org", "a@x.org B <b@x.org>", ""},
		{"From: a@x.org, b@x.org\nSender: B@x.org\nReply-To: r@x.org", "", "B@x.org", "r@x.org", ""},
		{"From: a@x.org\nReply-To: r@x.org, R@x.org, nobody@, s@x.org", "", "a@x.org", "r@x.org s@x.org", ""},
		{"From: a@x.org\nReply-To: rän@x.org", "", "", "", "5.6.7"},
		{"From: än@x.org", "", "", "", "5.6.7"},
		{"Subject: x", "e@x.org", "e@x.org", "", ""},
		{"Subject: x", "", "", "", "5.6.0"},
	}
	for _, row := range rows {
		msg, err := mime.Parse(mime.NewBytesSource([]byte(strings.ReplaceAll(row.header, "\n", "\r\n") + "\r\n\r\nx")))
		if err != nil {
			t.Fatal(err)
		}
		var o Message
		if e := o.readSender(&upstream.Mail{From: row.envelope, Message: msg}); e != nil || row.code != "" {
			if e == nil || e.Code != row.code {
				t.Errorf("%s: %v, want %s", row.header, e, row.code)
			}
			continue
		}
		if got := FormatMailbox(o.From); got != row.from {
			t.Errorf("%s: from %s", row.header, got)
		}
		if got := strings.Join(FormatMailboxes(o.ReplyTo), " "); got != row.replyTo {
			t.Errorf("%s: reply to %s", row.header, got)
		}
	}
}

func TestClockWithoutDate(t *testing.T) {
	if list := clock(nil, time.Now()); list != nil {
		t.Errorf("%+v", list)
	}
}

// newClient returns a client without secrets.
func newClient(transport http.RoundTripper, base string) *Client {
	return &Client{client: &http.Client{Transport: transport}, base: base, timeout: time.Minute, auth: Key{Field: "Authorization"},
		secrets: redactor{credentials: Key{}}}
}
