package api_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// eachPreflight calls f for all HTTP kinds and settings.
func eachPreflight(t *testing.T, f func(name string, up upstream.Upstream)) {
	t.Helper()
	for _, kind := range apiKinds {
		for _, settings := range append([]string{""}, kind.modes...) {
			f(kind.name+" "+settings, mustOpen(t, kind.name, kind.with("k")+settings))
		}
	}
}

// sameVerdict compares Preflight with the request made in full.
func sameVerdict(t *testing.T, name string, up upstream.Upstream, m *upstream.Mail) {
	t.Helper()
	got, want := up.(upstream.Preflighter).Preflight(m), api.ComposedPreflight(up, m)
	if got == nil || want == nil {
		if got != want {
			t.Errorf("%s: preflight says %v, the request %v", name, got, want)
		}
		return
	}
	a, b := asError(t, got), asError(t, want)
	if a.Class != b.Class || a.Code != b.Code || a.Error() != b.Error() {
		t.Errorf("%s: preflight says %v, the request %v", name, got, want)
	}
}

// withEnvelopes returns a mail as it is and with envelopes that APIs may refuse.
func withEnvelopes(m *upstream.Mail) map[string]*upstream.Mail {
	all := map[string]*upstream.Mail{"": m}
	vary := func(name string, change func(*upstream.Mail)) {
		v := *m
		change(&v)
		all[name] = &v
	}
	bad := []upstream.Recipient{{Address: "no address"}, {Address: "grün@example.org"}}
	vary("null sender", func(v *upstream.Mail) { v.From = "" })
	vary("no addresses", func(v *upstream.Mail) { v.To = bad })
	vary("some addresses", func(v *upstream.Mail) { v.To = append(bad[:2:2], m.To...) })
	vary("none", func(v *upstream.Mail) { v.To = nil })
	vary("a long id", func(v *upstream.Mail) { v.ID = strings.Repeat("i", 300) })
	return all
}

func TestPreflightOfGoldenMails(t *testing.T) {
	mails := readMails(t)
	for seed := range uint64(50) {
		mails[fmt.Sprint("seed ", seed)] = randomMail(t, rand.New(rand.NewPCG(seed, 9)))
	}
	for i, field := range []string{"Resend-Idempotency-Key: " + strings.Repeat("k", 300), "Resend-Idempotency-Key: ü", "Resend-Idempotency-Key: k",
		"X-SMTPAPI: {", "X-SMTPAPI: {\"to\":[]}", "X-Mailgun-Tag: " + strings.Repeat("t", 20<<10), "X-Mailgun-Odd: 1", "Reply-To: grün@example.org",
		"From: grün@example.org", "From: app@localhost", "From: @", "From: words"} {
		mails[fmt.Sprint("field ", i)] = makeMail(t, field+"\n"+plainMessage, "ann@example.org")
	}
	mails["content id"] = makeMail(t, "From: a@example.com\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n<img src='cid:a;b'>\n"+
		"--b\nContent-Type: image/png\nContent-ID: <a;b>\n\nx\n--b--\n", "ann@example.org")
	eachPreflight(t, func(kind string, up upstream.Upstream) {
		for name, m := range mails {
			for envelope, v := range withEnvelopes(m) {
				sameVerdict(t, kind+name+" "+envelope, up, v)
				if size, most := api.RequestBytes(up, v); size > most {
					t.Errorf("%s%s %s: a request of %d bytes, expected were %d", kind, name, envelope, size, most)
				}
			}
		}
	})
}

// TestPreflightOfHostileMails has mails that grow as much as they can, just small enough to be judged without a
// request.
func TestPreflightOfHostileMails(t *testing.T) {
	if raceEnabled {
		t.Skip("slow with the race detector, and one goroutine only")
	}
	for name, raw := range growing(1200 << 10) {
		msg, err := mime.Parse(mime.NewBytesSource([]byte(raw)))
		if err != nil {
			t.Fatal(err)
		}
		m := &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
		for _, kind := range composers() {
			up := mustOpen(t, kind.name, kind.with("k"))
			sameVerdict(t, kind.name+" "+name, up, m)
			if bytes, most := api.RequestBytes(up, m); bytes > most {
				t.Errorf("%s, %s: a request of %d bytes, expected were %d", kind.name, name, bytes, most)
			}
		}
	}
}

// growing adds bodies and headers that grow in requests to the hostile mails.
func growing(size int) map[string]string {
	all := mimetest.Hostile(size)
	header := "From: a@example.com\r\nTo: ann@example.org\r\nContent-Type: text/plain; charset="
	all["controls"] = header + "utf-8\r\n\r\n" + strings.Repeat("\x01", size)
	all["latin"] = header + "windows-1252\r\n\r\n" + strings.Repeat("\x80", size)
	all["broken base64"] = header + "utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("AQEB", size/4) + "*"
	all["subject"] = "Subject: " + strings.Repeat("\x01", size/2) + "\r\n" + header + "utf-8\r\n\r\n"
	all["comments"] = header + "utf-8\r\n" + strings.Repeat("x\r\n", size/4) + "\r\n"
	return all
}

// TestPreflightAtLimits goes up to the last byte that each API takes, and one beyond.
func TestPreflightAtLimits(t *testing.T) {
	if raceEnabled {
		t.Skip("slow with the race detector, and one goroutine only")
	}
	raw := false
	mail := func(size int64, more int) *upstream.Mail {
		src := bigMessage(size)
		if raw { // a Subject of one word would be encoded
			line := strings.Repeat("s", 76) + "\r\n"
			src.head = strings.Replace(src.head, "big", strings.Repeat(line, more/len(line))+strings.Repeat("s", more%len(line))+"big", 1)
		} else {
			src.head = strings.Replace(src.head, "Subject: s", "Subject: "+strings.Repeat("s", more), 1)
		}
		msg, err := mime.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		return &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
	}
	for _, kind := range apiKinds {
		up := mustOpen(t, kind.name, kind.with("k"))
		limit := kind.limit
		raw = kind.raw
		// Where Preflight goes over from one way to the other.
		for _, size := range []int64{limit/16 - 300_000, limit/16 - 200_000, limit / 16, limit/16 + 100_000} {
			sameVerdict(t, fmt.Sprint(kind.name, " ", size), up, mail(max(size, 0), 1))
		}
		base := limit - 200_000
		if !kind.raw {
			base = base * int64(len(bigLine)) / int64(len(bigLine)-2) // line ends do not count
		}
		m := mail(base, 1)
		size, _ := api.RequestBytes(up, m)
		if kind.raw {
			size = m.Message.Source.Size() + int64(kind.added)
		}
		room := int(limit - size)
		if room < 0 || room > 400_000 {
			t.Fatalf("%s: room for %d bytes", kind.name, room)
		}
		for more, fits := range map[int]bool{-1: true, 0: true, 1: false} {
			m := mail(base, 1+room+more)
			sameVerdict(t, fmt.Sprint(kind.name, " limit ", more), up, m)
			if err := up.(upstream.Preflighter).Preflight(m); (err == nil) != fits {
				t.Errorf("%s: %d bytes more than the limit: %v", kind.name, more, err)
			}
		}
	}
}
