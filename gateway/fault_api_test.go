package gateway

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

const faultRetry = 200 * time.Millisecond

// faultKind is an API with the faults that it spells in its own way.
type faultKind struct {
	name     string
	fake     func(...upstreamtest.Option) *upstreamtest.Server
	settings string
	keyed    bool // knows a repeated request by its key
	refusal  upstreamtest.Fault
	half     int // deliveries when the answer breaks off
}

var faultKinds = []faultKind{
	{
		name: "resend", keyed: true, half: 1,
		fake: func(o ...upstreamtest.Option) *upstreamtest.Server { return upstreamtest.NewResend("right", o...) },
		refusal: upstreamtest.Fault{Status: 422,
			Body: `{"statusCode":422,"name":"validation_error","message":"no such thing"}`},
	},
	{
		name: "sendgrid", half: 1, // 202 says it all
		fake:    func(o ...upstreamtest.Option) *upstreamtest.Server { return upstreamtest.NewSendGrid("right", o...) },
		refusal: upstreamtest.Fault{Status: 400, Body: `{"errors":[{"message":"no such thing","field":null,"help":null}]}`},
	},
	{
		name: "mailgun", settings: "domain = \"mg.example.com\"\n", half: 2,
		fake: func(o ...upstreamtest.Option) *upstreamtest.Server {
			return upstreamtest.NewMailgun("right", "mg.example.com", o...)
		},
		refusal: upstreamtest.Fault{Status: 400, Body: `{"message":"no such thing"}`},
	},
}

// hasty is the setting of an upstream that is to run out of time. Others have all they need: a busy machine
// may take seconds for what is usually done in one of them.
const hasty = "timeout = \"3s\"\n"

// config is a gateway before the API at a URL.
func (k *faultKind) config(url, key, more string) string {
	return fmt.Sprintf("[queue]\nretry = [\"%dms\"]\n[[route]]\nvia = [\"main\"]\n[upstream.main]\ntype = %q\napi_key = %q\nbase_url = %q\n%s%s",
		faultRetry.Milliseconds(), k.name, key, url, k.settings, more)
}

// firstFailure is what the queue showed of a mail after its first attempt.
type firstFailure struct {
	seen bool // a slow machine may miss it
	part queue.Part
}

// awaitFirst waits until the first attempt has failed.
func (h *house) awaitFirst() firstFailure {
	h.t.Helper()
	var f firstFailure
	h.await("the first failure", func() bool {
		for _, p := range append(h.waiting(envelope.Queued), h.waiting(envelope.Failed)...) {
			if p.Progress.Attempts > 0 { // more than one on a busy machine
				f = firstFailure{true, p}
				return true
			}
		}
		return strings.Contains(h.log.String(), "msg=deferred") && len(h.waiting(envelope.Queued)) == 0
	})
	return f
}

// sentRecord is the end of a delivered recipient.
func (h *house) sentRecord(to string) queue.Record {
	h.t.Helper()
	var rec queue.Record
	h.await("the delivery to "+to, func() bool {
		list, err := h.g.queue.Search(h.t.Context(), queue.HistoryFilter{To: to})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, r := range list {
			if r.State == envelope.Sent {
				rec = r
				return true
			}
		}
		return false
	})
	return rec
}

// deliveries counts the mails that a fake gave to a recipient.
func deliveries(fake *upstreamtest.Server, to string) int {
	n := 0
	for _, m := range fake.Accepted() {
		if slices.Contains(m.Recipients, to) {
			n++
		}
	}
	return n
}

// faultCase is one fault and what it must lead to; in the end the mail is delivered.
type faultCase struct {
	name     string
	faults   []upstreamtest.Fault
	big      bool   // the message is larger than the buffers of a connection (4 MB to send, 128 kB to receive)
	class    string // of the first failure; several with | where the kernel decides
	status   int
	attempts int           // that the record of the delivery shows
	wait     time.Duration // at least, between the first failure and the delivery
	taken    int           // requests that the provider takes; with a key all are one delivery
}

func faultCases(k *faultKind) []faultCase {
	one := func(f upstreamtest.Fault) []upstreamtest.Fault { return []upstreamtest.Fault{f} }
	const retry = faultRetry * 85 / 100 // jitter, and times in milliseconds
	throttle := func(name, header, value, body string) faultCase {
		f := upstreamtest.Fault{Status: 429, Body: body}
		if header != "" {
			f.Header = http.Header{header: {value}}
		}
		return faultCase{"429 " + name, one(f), false, "throttled", 429, 2, 900 * time.Millisecond, 1}
	}
	soon := time.Now().Add(time.Hour) // the clock of the answers: far from ours
	date := func(c faultCase) faultCase {
		c.faults[0].Header.Set("Date", soon.UTC().Format(http.TimeFormat))
		return c
	}
	return []faultCase{
		{"500 twice", upstreamtest.Times(2, upstreamtest.Fault{Status: 500, Body: "{}"}), false, "uncertain", 500, 3, 2 * retry, 1},
		{"502 HTML", one(upstreamtest.Fault{Status: 502, Body: "<html><title>Bad Gateway</title></html>"}), false, "uncertain", 502, 2, retry, 1},
		{"503 with Retry-After", one(upstreamtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}, Body: "busy"}), false, "temporary", 503, 2, 900 * time.Millisecond, 1},
		throttle("seconds", "Retry-After", "1", "{}"),
		throttle("seconds with a fraction", "Retry-After", "1.1", "{}"),
		date(throttle("date", "Retry-After", soon.Add(time.Second).UTC().Format(http.TimeFormat), "{}")),
		throttle("ratelimit-reset", "Ratelimit-Reset", "1", "{}"),
		date(throttle("epoch", "X-Ratelimit-Reset", fmt.Sprint(soon.Unix()+1), "{}")),
		date(throttle("epoch with a fraction", "X-Ratelimit-Reset", fmt.Sprintf("%d.5", soon.Unix()+1), "{}")),
		throttle("words", "", "", `{"statusCode":429,"name":"x","message":"please try again after 1 seconds","errors":[{"message":"please try again after 1 seconds"}]}`),
		{"429 without a word", one(upstreamtest.Fault{Status: 429, Body: "{}"}), false, "throttled", 429, 2, retry, 1},
		{"dropped before the body", one(upstreamtest.Fault{Drop: upstreamtest.DropBeforeBody}), false, "temporary|uncertain", 0, 2, retry, 1},
		{"dropped during the body", one(upstreamtest.Fault{Drop: upstreamtest.DropDuringBody}), true, "temporary", 0, 2, retry, 1},
		{"dropped after the body", one(upstreamtest.Fault{Drop: upstreamtest.DropAfterBody}), false, "uncertain", 0, 2, retry, 1},
		{"reply lost", one(upstreamtest.Fault{Drop: upstreamtest.DropReply}), false, "uncertain", 0, 2, retry, 2},
		{"504 for a mail that was taken", one(upstreamtest.Fault{Status: 504, Accept: true, Body: "<html>"}), false, "uncertain", 504, 2, retry, 2},
		{"302", one(upstreamtest.Fault{Status: 302, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}), false, "account", 302, 2, retry, 1},
		{"404", one(upstreamtest.Fault{Status: 404, Body: "page not found"}), false, "account", 404, 2, retry, 1},
		{"400 by something between", one(upstreamtest.Fault{Status: 400, Body: "<html>Bad Request</html>"}), false, "temporary", 400, 2, retry, 1},
		{"garbage 200", one(upstreamtest.Fault{Status: 200, Body: "<html>welcome to the hotel</html>"}), false, "uncertain", 200, 2, retry, 1},
	}
}

func TestFaultsOfAPIs(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		for _, c := range faultCases(k) {
			t.Run(k.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				fake := k.fake()
				t.Cleanup(fake.Close)
				config, msg := k.config(fake.URL, "right", ""), plainMail
				if c.big {
					config = strings.Replace(config, `"1s"`, `"20s"`, 1)
					msg += strings.Repeat(strings.Repeat("x", 70)+"\n", 75_000)
				}
				h := newHouse(t, config)
				fake.Script(c.faults...)
				h.mustSend("x@example.com", []string{"a@example.org"}, msg)
				c.check(h, k, fake)
			})
		}
	}
}

func (c *faultCase) check(h *house, k *faultKind, fake *upstreamtest.Server) {
	t := h.t
	first := h.awaitFirst()
	rec := h.sentRecord("a@example.org")
	if p := first.part.Progress; first.seen {
		if !strings.Contains("|"+c.class+"|", "|"+p.Class+"|") || p.Status != c.status || p.Error == "" || p.Upstream != "main" {
			t.Errorf("after the first attempt: %+v, want class %s, status %d", p, c.class, c.status)
		}
		if p.Uncertain != (p.Class == "uncertain") {
			t.Errorf("uncertain is %v of class %s", p.Uncertain, p.Class)
		}
		if gap := rec.At.Sub(p.LastAttempt); gap < c.wait {
			t.Errorf("delivered %v after the first failure, want at least %v", gap, c.wait)
		}
	}
	if !first.seen {
		t.Log("too slow to see the queue between two attempts")
	}
	if rec.Attempts != c.attempts {
		t.Errorf("%d attempts, want %d", rec.Attempts, c.attempts)
	}
	want := c.taken
	if k.keyed {
		want = 1
	}
	if n := deliveries(fake, "a@example.org"); n != want {
		t.Errorf("%d deliveries, want %d; refused: %q", n, want, fake.Rejected())
	}
	if n := fake.Requests(); n != c.attempts {
		t.Errorf("%d requests, want %d", n, c.attempts)
	}
	if n := deliveries(fake, "x@example.com"); n != 0 {
		t.Errorf("%d bounces for trouble that was not the mail's", n)
	}
}

func TestAnswersThatBreakOff(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			fake := k.fake()
			t.Cleanup(fake.Close)
			h := newHouse(t, k.config(fake.URL, "right", ""))
			fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropHalfReply})
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			h.sentRecord("a@example.org")
			if n := deliveries(fake, "a@example.org"); n != k.half {
				t.Errorf("%d deliveries, want %d", n, k.half)
			}
		})
	}
}

// An answer that comes too late leaves the outcome unknown: with a key there is one delivery, else at
// least one.
func TestSlowAPIs(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			fake := k.fake()
			t.Cleanup(fake.Close)
			h := newHouse(t, k.config(fake.URL, "right", hasty))
			fake.Script(upstreamtest.Fault{Delay: time.Minute})
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			if f := h.awaitFirst(); f.seen && (!f.part.Progress.Uncertain || f.part.Progress.Status != 0) {
				t.Errorf("after the first attempt: %+v", f.part.Progress)
			}
			rec := h.sentRecord("a@example.org")
			n := deliveries(fake, "a@example.org")
			if rec.Attempts != 2 || n < 1 || n > 2 || (k.keyed && n != 1) {
				t.Errorf("%d attempts, %d deliveries", rec.Attempts, n)
			}
		})
	}
}

// What the provider says of the mail itself is final when no other upstream may take it, and its sender is notified.
func TestRefusalsOfAPIs(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		for class, f := range map[upstream.Class]upstreamtest.Fault{upstream.Permanent: k.refusal, upstream.Unrepresentable: {Status: 413, Body: "{}"}} {
			t.Run(k.name+"/"+class.String(), func(t *testing.T) {
				t.Parallel()
				fake := k.fake()
				t.Cleanup(fake.Close)
				h := newHouse(t, k.config(fake.URL, "right", ""))
				fake.Script(f)
				h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
				h.await("the bounce", func() bool { return deliveries(fake, "x@example.com") == 1 })
				h.await("the failed mail", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
				p := h.waiting(envelope.Failed)[0].Progress
				if p.Class != class.String() || p.Status != f.Status || p.Attempts != 1 {
					t.Errorf("failed with %+v", p)
				}
				if n := deliveries(fake, "a@example.org"); n != 0 || fake.Requests() != 2 {
					t.Errorf("%d deliveries, %d requests", n, fake.Requests())
				}
			})
		}
	}
}

// Trouble of ours keeps mail until a reload mends it.
func TestReloadHealsAPIs(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		ca := func(t *testing.T, fake *upstreamtest.Server) string {
			file := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(file, fake.CA(), 0o600); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("ca_file = %q\n", filepath.ToSlash(file))
		}
		for _, c := range []struct {
			name  string
			tls   bool
			bad   func(fake *upstreamtest.Server) string
			class string
		}{
			{name: "wrong key", class: "account", bad: func(f *upstreamtest.Server) string { return k.config(f.URL, "wrong", "") }},
			{name: "nobody there", class: "temporary", bad: func(*upstreamtest.Server) string { return k.config("http://"+freeport.Addr(t), "right", "") }},
			{name: "unknown certificate", tls: true, class: "temporary", bad: func(f *upstreamtest.Server) string { return k.config(f.URL, "right", "") }},
		} {
			t.Run(k.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				fake, good := k.fake(), ""
				if c.tls {
					fake = k.fake(upstreamtest.TLS())
					good = ca(t, fake)
				}
				t.Cleanup(fake.Close)
				h := newHouse(t, c.bad(fake))
				h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
				if f := h.awaitFirst(); f.seen && (f.part.Progress.Class != c.class || f.part.Progress.Uncertain) {
					t.Errorf("after the first attempt: %+v, want class %s", f.part.Progress, c.class)
				}
				h.mustSend("x@example.com", []string{"b@example.org"}, plainMail)
				h.write(k.config(fake.URL, "right", good))
				if err := h.g.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, to := range []string{"a@example.org", "b@example.org"} {
					h.sentRecord(to)
					if n := deliveries(fake, to); n != 1 {
						t.Errorf("%d deliveries to %s", n, to)
					}
				}
				if n := deliveries(fake, "x@example.com"); n != 0 {
					t.Errorf("%d bounces for trouble that was not the mail's", n)
				}
			})
		}
	}
}
