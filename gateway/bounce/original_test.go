package bounce

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestOriginal(t *testing.T) {
	long := "Subject: x\r\n\r\n" + strings.Repeat("y", 1200) + "\r\n"
	cases := []struct {
		name, raw, ret string
		action         Action
		kind, encoding string
	}{
		{"default", plainMail, "", Failed, "text/rfc822-headers", ""},
		{"HDRS", plainMail, "HDRS", Failed, "text/rfc822-headers", ""},
		{"FULL", plainMail, "FULL", Failed, "message/rfc822", ""},
		{"FULL, delayed", plainMail, "FULL", Delayed, "text/rfc822-headers", ""},
		{"FULL, 8-bit body", "Subject: x\r\n\r\n\xe9\r\n", "FULL", Failed, "message/rfc822", "8bit"},
		{"FULL, UTF-8 header", "Subject: \xc3\xa9\r\n\r\nx\r\n", "FULL", Failed, "message/global", "base64"},
		{"FULL, Latin-1 header", "Subject: \xe9\r\n\r\nx\r\n", "FULL", Failed, "text/rfc822-headers", "quoted-printable"},
		{"FULL, long line", long, "FULL", Failed, "text/rfc822-headers", ""},
		{"FULL, NUL", "Subject: x\r\n\r\n\x00\r\n", "FULL", Failed, "text/rfc822-headers", ""},
		{"FULL, too large", "Subject: x\r\n\r\n" + strings.Repeat("line\r\n", maxReturned/6), "FULL", Failed, "text/rfc822-headers", ""},
		{"long header line", "Subject: " + strings.Repeat("y", 1200) + "\r\n\r\nx", "", Failed, "text/rfc822-headers", "quoted-printable"},
		{"huge header", strings.Repeat("X-A: b\r\n", maxHeader/8+10) + "\r\nx", "", Failed, "text/rfc822-headers", ""},
		{"header alone, no line end", "Subject: x", "", Failed, "text/rfc822-headers", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := failure(t, c.raw)
			r.Envelope.Ret, r.Action = c.ret, c.action
			msg, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			got := readBack(t, msg)
			if len(got.kinds) != 3 || got.kinds[2] != c.kind || got.encodings[2] != c.encoding {
				t.Errorf("%q %q", got.kinds, got.encodings)
			}
			outer := got.header.Get("Content-Transfer-Encoding")
			if (outer == "8bit") != (c.encoding == "8bit") {
				t.Errorf("Content-Transfer-Encoding %q of the whole", outer)
			}
			checkLines(t, msg)
		})
	}
}

func TestNoOriginal(t *testing.T) {
	r := failure(t, plainMail)
	r.Original, r.Until, r.Action = nil, time.Time{}, Delayed
	r.Envelope.Received = time.Time{}
	msg, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	got := readBack(t, msg)
	if len(got.kinds) != 2 || got.header.Get("Subject") != "Delayed mail" || got.header.Get("References") != "" {
		t.Errorf("%q %v", got.kinds, got.header)
	}
}

func TestReferencesAreBounded(t *testing.T) {
	var refs strings.Builder
	for i := range 100 {
		refs.WriteString(" <" + strings.Repeat("r", i+1) + "@x>")
	}
	r := failure(t, "References:"+refs.String()+" broken <two words>\r\nMessage-ID: <m@x>\r\nSubject: "+strings.Repeat("s", 500)+"\r\n\r\n")
	msg, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	got := readBack(t, msg)
	ids := strings.Fields(got.header.Get("References"))
	if len(ids) != maxReferences+1 || ids[0] != "<r@x>" || ids[len(ids)-1] != "<m@x>" {
		t.Errorf("%d ids: %q", len(ids), ids)
	}
	checkLines(t, msg)
}

type brokenSource struct{ n int64 }

func (b brokenSource) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }
func (b brokenSource) Size() int64                       { return b.n }

func TestReadError(t *testing.T) {
	r := failure(t, plainMail)
	r.Envelope.Ret = "FULL"
	r.Original.Source = brokenSource{r.Original.Source.Size()}
	if _, err := r.Message(); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("%v", err)
	}
}
