package api_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/upstreamtest"
)

// tree writes a random MIME entity; each leaf has bytes of its own.
type tree struct {
	rnd    *rand.Rand
	leaves int
}

func (w *tree) entity(depth int) string {
	if depth > 0 && w.rnd.IntN(3) > 0 {
		kind := []string{"mixed", "alternative", "related", "report", "x-odd"}[w.rnd.IntN(5)]
		boundary := fmt.Sprintf("b%d-%d", depth, w.rnd.IntN(1e6))
		var b strings.Builder
		fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=%q\n\n", kind, boundary)
		for range 1 + w.rnd.IntN(3) {
			fmt.Fprintf(&b, "--%s\n%s\n", boundary, w.entity(depth-1))
		}
		return b.String() + "--" + boundary + "--\n"
	}
	return w.leaf()
}

func (w *tree) leaf() string {
	w.leaves++
	kind := []string{"text/plain", "text/html; charset=utf-8", "text/plain; charset=utf-8", "text/calendar; method=REQUEST",
		"image/png", "application/pdf", "application/x-thing", "message/rfc822", "text/csv"}[w.rnd.IntN(9)]
	content := fmt.Sprintf("Subject: leaf %d\n\nof %s\n", w.leaves, kind)
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: %s\n", kind)
	switch w.rnd.IntN(5) {
	case 0:
		fmt.Fprintf(&b, "Content-Disposition: attachment; filename=\"f%d.%s\"\n", w.leaves, []string{"pdf", "txt", "png", "x y", "ics"}[w.rnd.IntN(5)])
	case 1:
		fmt.Fprintf(&b, "Content-Disposition: attachment\n")
	case 2:
		fmt.Fprintf(&b, "Content-ID: <c%d@x>\nContent-Disposition: inline\n", w.leaves)
	}
	if w.rnd.IntN(2) == 0 && kind != "message/rfc822" {
		return b.String() + "Content-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(content)) + "\n"
	}
	return b.String() + "\n" + content
}

// randomMail has an envelope that agrees with its header in part only.
func randomMail(t *testing.T, rnd *rand.Rand) *upstream.Mail {
	t.Helper()
	var lists [4][]string // To, Cc, Bcc, none
	var envelope []string
	for i := range rnd.IntN(8) + 1 {
		addr := fmt.Sprintf("r%d@example.org", i)
		if rnd.IntN(4) > 0 || i == 0 {
			envelope = append(envelope, addr)
		}
		if rnd.IntN(5) == 0 {
			addr = strings.ToUpper(addr)
		}
		for range 1 + rnd.IntN(2) {
			n := rnd.IntN(4)
			lists[n] = append(lists[n], fmt.Sprintf("\"Name, %d\" <%s>", i, addr))
		}
	}
	rnd.Shuffle(len(envelope), func(i, j int) { envelope[i], envelope[j] = envelope[j], envelope[i] })
	header := "From: App <app@example.com>\nSubject: random\nMIME-Version: 1.0\nMessage-ID: <r@example.com>\n"
	for i, name := range []string{"To", "Cc", "Bcc"} {
		if len(lists[i]) > 0 {
			header += name + ": " + strings.Join(lists[i], ",\n ") + "\n"
		}
	}
	w := &tree{rnd: rnd}
	return makeMail(t, header+w.entity(3), envelope...)
}

func TestRandomMails(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		for seed := range uint64(400) {
			m := randomMail(t, rand.New(rand.NewPCG(seed, 7)))
			m.ID = fmt.Sprintf("seed%d", seed)
			fake.Reset()
			checkDelivery(t, m, up.Send(t.Context(), m), up.(upstream.Preflighter).Preflight(m), fake)
			if t.Failed() {
				raw := make([]byte, m.Message.Source.Size())
				_, _ = m.Message.Source.ReadAt(raw, 0)
				t.Fatalf("%s, seed %d, to %v:\n%s", kind.name, seed, m.To, raw)
			}
		}
	}
}

// FuzzAPIRequests sends whatever comes to strict fakes: each recipient is served once by a request
// that keeps the rules, or told that it cannot be.
func FuzzAPIRequests(f *testing.F) {
	files, err := filepath.Glob("../testdata/mail/*.mail")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, message, _ := bytes.Cut(raw, []byte("\n\n"))
		f.Add(bytes.ReplaceAll(message, []byte("\n"), []byte("\r\n")), true)
	}
	// One fake for all inputs, called without a network, whose timing would look like new coverage.
	var ups [len(apiKinds)][2]upstream.Upstream
	var fakes [len(apiKinds)]*upstreamtest.Server
	for i, kind := range apiKinds {
		fakes[i] = kind.fake()
		f.Cleanup(fakes[i].Close)
		for n, control := range []bool{false, true} {
			up, err := openKind(kind.name, fmt.Sprintf("%sbase_url = '%s'\npass_control_headers = %v\n", kind.with(apiKey), fakes[i].URL, control))
			if err != nil {
				f.Fatal(err)
			}
			api.WithTransport(up, direct{fakes[i]})
			ups[i][n] = up
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, control bool) {
		msg, err := mime.Parse(mime.NewBytesSource(raw))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if control {
			n = 1
		}
		for i, kind := range apiKinds {
			fakes[i].Reset()
			fakes[i].Forget()
			checkServed(t, kind.name, ups[i][n], fakes[i], msg)
		}
	})
}

// direct hands requests to a server in the same goroutine.
type direct struct{ server http.Handler }

// RoundTrip returns the server's answer.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody // a server's request always has one
	}
	d.server.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// refusedAddress tells the one thing that is left to providers to judge.
func refusedAddress(e *upstream.Error) bool {
	return e.Class == upstream.Permanent && strings.Contains(e.Error(), "does not contain a valid address")
}

// checkServed holds what two recipients are told against what the fake took.
func checkServed(t *testing.T, kind string, up upstream.Upstream, fake *upstreamtest.Server, msg *mime.Message) {
	t.Helper()
	m := &upstream.Mail{ID: "F", From: "app@example.com", Message: msg,
		To: []upstream.Recipient{{Address: "ann@example.org"}, {Address: "hidden@example.org"}}}
	var served []string
	for i, o := range up.Send(t.Context(), m) {
		if o.Err == nil {
			served = append(served, m.To[i].Address)
		} else if e := asError(t, o.Err); e.Class != upstream.Unrepresentable && !refusedAddress(e) {
			t.Errorf("%s: %+v: %v", kind, e, fake.Rejected())
		}
	}
	var got []string
	for _, msg := range fake.Accepted() {
		got = append(got, msg.Recipients...)
	}
	slices.Sort(got)
	if !slices.Equal(got, served) {
		t.Errorf("%s: served %v, told %v", kind, got, served)
	}
}
