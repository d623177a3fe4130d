package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
)

// house is a whole gateway on loopback.
type house struct {
	t         testing.TB
	g         *Gateway
	cfg       *config.Config
	addr      string // of the first listener
	file      string
	adminAddr string // "" is off
	adminKeys string // of [admin], beside address
	log       *lines
	stop      func() error
	wall      func() time.Time
	kinds     []upstream.Kind                 // beside those of the program
	wrap      func(queue.Engine) queue.Engine // stands before the store from the next start on; nil: nothing
}

// lines is a log that tests may read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all so far.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newHouse writes a config of its listener, directories and text, and starts the gateway on it.
func newHouse(t testing.TB, text string) *house {
	t.Helper()
	return newHouseAt(t, nil, text)
}

// newHouseAt is newHouse on a machine with another time of day.
func newHouseAt(t testing.TB, wall func() time.Time, text string) *house {
	t.Helper()
	return openHouse(t, &house{wall: wall}, text)
}

// openHouse starts the gateway of a house of which some is given.
func openHouse(t testing.TB, h *house, text string) *house {
	t.Helper()
	h.t, h.addr, h.log = t, freeport.Addr(t), &lines{}
	dir := t.TempDir()
	h.file = filepath.Join(dir, "config.toml")
	h.write(text)
	h.start()
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", h.log)
		}
	})
	return h
}

func (h *house) write(text string) {
	h.t.Helper()
	head := fmt.Sprintf("hostname = \"gw.example.com\"\nstate_dir = %q\n", filepath.Join(filepath.Dir(h.file), "state"))
	// Keys of the top level come before all tables.
	if first, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(first, "run_dir") {
		head, text = head+first+"\n", rest
	}
	if !strings.Contains(text, "[[listener]]") {
		text = "[[listener]]\naddress = \"ADDR\"\n" + text
	}
	text = head + strings.ReplaceAll(text, "ADDR", h.addr) + fmt.Sprintf("\n[admin]\naddress = %q\n%s", cmp.Or(h.adminAddr, "off"), h.adminKeys)
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) start() {
	h.t.Helper()
	cfg, err := config.Load(h.file, config.Options{Kinds: h.all(), Version: "test", Stdout: h.log})
	if err != nil {
		h.t.Fatal(err)
	}
	h.cfg = cfg
	ctx, cancel := context.WithCancel(context.Background())
	var store queue.Engine
	if h.wrap != nil {
		if store, err = engines.Open(ctx, engines.Default, queue.Settings{Dir: cfg.StateDir}); err != nil {
			cancel()
			h.t.Fatal(err)
		}
		store = h.wrap(store)
	}
	h.g, err = New(ctx, cfg, Options{Queue: store, Version: "test", Kinds: h.all(), Stdout: h.log, Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Wall: h.wall, Metrics: []meter.Metric{journal.NewWriter(h.log).Dropped()}})
	if err != nil {
		cancel()
		h.t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.g.Run(ctx, func() { close(started) }) }()
	select {
	case <-started:
	case err := <-ended:
		cancel()
		h.t.Fatalf("the gateway did not start: %v", err)
	}
	h.stop = sync.OnceValue(func() error { cancel(); return <-ended })
}

func (h *house) all() []upstream.Kind { return append(kinds.Kinds(), h.kinds...) }

func (h *house) send(from string, to []string, msg string) error {
	return smtp.SendMail(h.addr, nil, from, to, []byte(strings.ReplaceAll(msg, "\n", "\r\n")))
}

func (h *house) mustSend(from string, to []string, msg string) {
	h.t.Helper()
	if err := h.send(from, to, msg); err != nil {
		h.t.Fatalf("send: %v", err)
	}
}

func (h *house) await(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ended lists recipients that are in a final state.
func (h *house) ended(s envelope.State) []string {
	h.t.Helper()
	list, err := h.g.queue.Search(h.t.Context(), queue.HistoryFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	var to []string
	for _, r := range list {
		if r.State == s {
			to = append(to, r.Recipient.Address)
		}
	}
	slices.Sort(to)
	return to
}

func (h *house) waiting(s envelope.State) []queue.Part {
	h.t.Helper()
	list, err := h.g.queue.List(h.t.Context(), queue.Filter{}, queue.Page{})
	if err != nil {
		h.t.Fatal(err)
	}
	var parts []queue.Part
	for _, m := range list {
		for _, p := range m.Parts {
			if p.State == s {
				parts = append(parts, p)
			}
		}
	}
	return parts
}

// fullMail has text, HTML, an inline image, an attachment with a non-ASCII name, 2 To, 1 Cc, 1 Bcc.
var (
	fullTo    = []string{"ann@example.org", "bob@example.org", "cy@example.net", "secret@example.org"}
	imageData = bytes.Repeat([]byte("\x89PNG\r\n\x1a\n image "), 40)
	fileData  = bytes.Repeat([]byte("%PDF-1.7 \x00\xff\r\n"), 500)
)

func fullMail() string {
	return `From: =?UTF-8?Q?J=C3=BCrgen?= <app@billing.example.com>
To: Ann <ann@example.org>, Bob <bob@example.org>
Cc: cy@example.net
Bcc: secret@example.org
Subject: =?UTF-8?Q?Rechnung_f=C3=BCr_M=C3=A4rz?=
Date: Mon, 02 Nov 2026 10:00:00 +0100
Message-ID: <full-1@billing.example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="mix"

--mix
Content-Type: multipart/alternative; boundary="alt"

--alt
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe, Text
--alt
Content-Type: multipart/related; boundary="rel"

--rel
Content-Type: text/html; charset=utf-8

<p>Hallo <img src="cid:logo@app"></p>
--rel
Content-Type: image/png; name=logo.png
Content-ID: <logo@app>
Content-Disposition: inline; filename=logo.png
Content-Transfer-Encoding: base64

` + wrap64(imageData) + `
--rel--
--alt--
--mix
Content-Type: application/pdf
Content-Disposition: attachment; filename*=utf-8''R%C3%A9sum%C3%A9%20M%C3%A4rz.pdf
Content-Transfer-Encoding: base64

` + wrap64(fileData) + `
--mix--
`
}

// fidelity compares what an API fake decoded with fullMail.
func fidelity(t *testing.T, m upstreamtest.Message) {
	t.Helper()
	got := slices.Clone(m.Recipients)
	slices.Sort(got)
	if want := fullTo; !slices.Equal(got, want) {
		t.Errorf("%s: recipients %q, want %q", m.Provider, got, want)
	}
	for _, shown := range append(slices.Clone(m.To), m.Cc...) {
		if strings.Contains(shown, "secret") {
			t.Errorf("%s: the Bcc recipient is shown: %q", m.Provider, shown)
		}
	}
	if strings.Contains(fmt.Sprint(m.Headers), "secret") {
		t.Errorf("%s: the Bcc recipient is in a header: %v", m.Provider, m.Headers)
	}
	if got := strings.TrimSpace(m.Text); got != "Grüße, Text" {
		t.Errorf("%s: text %q", m.Provider, got)
	}
	if got := strings.TrimSpace(m.HTML); got != `<p>Hallo <img src="cid:logo@app"></p>` {
		t.Errorf("%s: HTML %q", m.Provider, got)
	}
	if m.Subject != "Rechnung für März" {
		t.Errorf("%s: subject %q", m.Provider, m.Subject)
	}
	want := map[[32]byte]string{sha256.Sum256(imageData): "logo.png", sha256.Sum256(fileData): "Résumé März.pdf"}
	for _, a := range m.Attachments {
		if name := want[sha256.Sum256(a.Data)]; name != a.Name {
			t.Errorf("%s: attachment %q of %d bytes, want name %q", m.Provider, a.Name, len(a.Data), name)
		}
		delete(want, sha256.Sum256(a.Data))
		if a.Name == "logo.png" && a.ContentID != "logo@app" {
			t.Errorf("%s: content id %q", m.Provider, a.ContentID)
		}
	}
	if len(want) > 0 {
		t.Errorf("%s: attachments missing: %v", m.Provider, want)
	}
}

// four is a gateway before all four kinds of upstreams; the header field X-Via chooses.
type four struct {
	*house
	apis  []*upstreamtest.Server
	relay *relay
}

func newFour(t *testing.T) *four {
	t.Helper()
	f := &four{relay: newRelay(t), apis: []*upstreamtest.Server{
		upstreamtest.NewResend("re_key"), upstreamtest.NewSendGrid("SG.key"), upstreamtest.NewMailgun("mg-key", "mg.example.com")}}
	for _, fake := range f.apis {
		t.Cleanup(fake.Close)
	}
	t.Setenv("RELAY_PASSWORD", "s3cret")
	f.house = newHouse(t, fmt.Sprintf(`
[upstream.resend]
type = "resend"
api_key = "re_key"
base_url = %q
[upstream.sendgrid]
type = "sendgrid"
api_key = "SG.key"
base_url = %q
[upstream.mailgun]
type = "mailgun"
api_key = "mg-key"
domain = "mg.example.com"
base_url = %q
[upstream.relay]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "starttls"
ca_file = %q
username = "app"
password = "env:RELAY_PASSWORD"
[[route]]
header = { "X-Via" = "resend" }
via = ["resend"]
[[route]]
header = { "X-Via" = "sendgrid" }
via = ["sendgrid"]
[[route]]
header = { "X-Via" = "mailgun" }
via = ["mailgun"]
[[route]]
via = ["relay"]
`, f.apis[0].URL, f.apis[1].URL, f.apis[2].URL, f.relay.port, f.relay.caFile))
	return f
}

// upstreams are what X-Via chooses from.
var upstreams = []string{"resend", "sendgrid", "mailgun", "relay"}

// check compares what all four have with the message that was sent to each of them.
func (f *four) check(t *testing.T, sent string) {
	t.Helper()
	for _, fake := range f.apis {
		got := fake.Accepted()
		if len(got) != 1 {
			t.Errorf("%d mails at a fake, want 1; refused: %q", len(got), fake.Rejected())
			continue
		}
		fidelity(t, got[0])
		fake.Reset()
	}
	f.relay.check(t, sent)
}

func TestFourUpstreams(t *testing.T) {
	f := newFour(t)
	for _, via := range upstreams {
		f.mustSend("app@billing.example.com", fullTo, "X-Via: "+via+"\n"+fullMail())
	}
	f.await("16 recipients", func() bool { return len(f.ended(envelope.Sent)) == 16 })
	f.check(t, strings.ReplaceAll(fullMail(), "\n", "\r\n"))
	if log := f.log.String(); strings.Contains(log, "s3cret") || strings.Contains(log, "re_key") {
		t.Error("a secret is in the log")
	}
}

func TestSplitByRoutes(t *testing.T) {
	resend := upstreamtest.NewResend("k")
	defer resend.Close()
	sendgrid := upstreamtest.NewSendGrid("k")
	defer sendgrid.Close()
	h := newHouse(t, fmt.Sprintf(`
[upstream.a]
type = "resend"
api_key = "k"
base_url = %q
[upstream.b]
type = "sendgrid"
api_key = "k"
base_url = %q
[[route]]
to = ["*@hold.example"]
hold = true
[[route]]
to = ["*@discard.example"]
discard = true
[[route]]
to = ["*@never.example"]
reject = "550 5.7.1 we do not write there"
[[route]]
to = ["*@late.example"]
subject = "refuse*"
reject = "554 not this"
[[route]]
to = ["*@a.example", "*@late.example"]
via = ["a"]
[[route]]
to = ["*@b.example"]
via = ["b"]
`, resend.URL, sendgrid.URL))
	msg := "From: x@example.com\nTo: one@a.example\nSubject: hi\n\nhello\n"
	h.mustSend("x@example.com", []string{"one@a.example", "two@b.example", "three@hold.example", "four@discard.example"}, msg)
	h.await("the ends", func() bool { return len(h.ended(envelope.Sent)) == 2 && len(h.ended(envelope.Discarded)) == 1 })
	if held := h.waiting(envelope.Held); len(held) != 1 || held[0].To[0].Address != "three@hold.example" {
		t.Errorf("held %+v", held)
	}
	for fake, want := range map[*upstreamtest.Server]string{resend: "one@a.example", sendgrid: "two@b.example"} {
		if got := fake.Accepted(); len(got) != 1 || !slices.Equal(got[0].Recipients, []string{want}) {
			t.Errorf("want one mail to %s, got %+v, refused %q", want, got, fake.Rejected())
		}
	}
	if err := h.send("x@example.com", []string{"five@never.example"}, msg); err == nil || !strings.Contains(err.Error(), "we do not write there") {
		t.Errorf("rejected recipient: %v", err)
	}
	if err := h.send("x@example.com", []string{"six@nowhere.example"}, msg); err == nil || !strings.HasPrefix(err.Error(), `550 "5.7.1 no route`) {
		t.Errorf("recipient without a route: %v", err)
	}
	if err := h.send("x@example.com", []string{"seven@late.example"}, strings.Replace(msg, "hi", "refuse me", 1)); err == nil || !strings.HasPrefix(err.Error(), "554 ") {
		t.Errorf("subject refused: %v", err)
	}
	if n, err := h.g.queue.Release(t.Context(), queue.Filter{IDs: h.held()}, "root"); n.Messages != 1 || err != nil {
		t.Fatalf("release: %d %v", n, err)
	}
	// Released mail passes over the rule that holds; no other rule matches, so it waits and says so.
	h.await("the released mail", func() bool {
		p := h.waiting(envelope.Queued)
		return len(p) == 1 && strings.Contains(p[0].Progress.Error, "no route")
	})
}

func (h *house) held() []string {
	list, err := h.g.queue.List(h.t.Context(), queue.Filter{State: envelope.Held}, queue.Page{})
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}
