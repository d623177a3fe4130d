package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/telling"
)

// toldFull makes the tests below as long as they are meant to be: 5,000 mails and twelve deaths.
const toldFull = "MAILHATCH_FEEDBACK_FULL"

// TestToldThroughCrashes: mail bounces late, and the process dies again and again. Each recipient that bounced has one
// notification at its sender, whatever order events come in, how often, and how many are lost on the way; none is lost
// and none is doubled, and nobody who bounced or complained gets mail afterwards.
func TestToldThroughCrashes(t *testing.T) {
	mails, deaths := 300, 3
	if os.Getenv(toldFull) != "" {
		mails, deaths = 5000, 12
	} else if testing.Short() {
		t.Skip("it polls every ten seconds")
	}
	for _, mode := range []string{"both", "poll"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newToldWorld(t, mode)
			w.run(mails, deaths)
			w.judge(mails)
		})
	}
}

// toldWorld is a provider that tells later, and the mailboxes of senders.
type toldWorld struct {
	crash
	mode   string
	hooks  string // address of webhooks
	log    *telling.Log
	front  *httptest.Server
	pushes sync.WaitGroup
	ctx    context.Context

	taken atomic.Int64 // mails

	mu   sync.Mutex
	rand *rand.Rand
}

func newToldWorld(t *testing.T, mode string) *toldWorld {
	w := &toldWorld{crash: crash{t: t, dir: t.TempDir(), addr: freeport.Addr(t), acked: map[string][]string{}}, mode: mode, hooks: freeport.Addr(t),
		rand: rand.New(rand.NewPCG(1, 2))}
	ctx, stop := context.WithCancel(context.Background())
	w.ctx = ctx
	w.log = telling.New(upstreamtest.NewMailgun("key", "mg.example.com"), telling.Mailgun{Domain: "mg.example.com"}, "signing-key")
	w.front = httptest.NewServer(http.HandlerFunc(w.serve))
	w.relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	t.Cleanup(func() {
		stop()
		w.pushes.Wait()
		w.front.CloseClientConnections()
		w.front.Close()
		w.log.Close()
	})
	return w
}

// launch starts a life of the gateway.
func (w *toldWorld) launch() *process {
	return w.crash.launch(0, fmt.Sprintf(`hostname = "gw.example.com"
state_dir = %q
shutdown_timeout = "10s"
[[listener]]
address = %q
[upstream.main]
type = "mailgun"
api_key = "key"
domain = "mg.example.com"
log_delay = "5s"
base_url = %q
[upstream.main.events]
mode = %q
every = "10s"
secret = "signing-key"
[upstream.senders]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "none"
max_concurrent = 4
[[route]]
to = ["*@senders.example"]
via = ["senders"]
[[route]]
via = ["main"]
[queue]
retry = ["50ms", "200ms"]
[events]
address = %q
[admin]
address = "off"
`, filepath.Join(w.dir, "state"), w.addr, w.front.URL, w.mode, w.relay.Port, w.hooks))
}

// fate is what becomes of a mail, by its number: 7 % bounce, 1 % are called spam, 5 % are late.
func fate(i int) (kinds []upstream.EventKind) {
	h := fnv.New32a()
	fmt.Fprint(h, i, "fate")
	switch n := h.Sum32() % 100; {
	case n < 6:
		return []upstream.EventKind{upstream.Bounced}
	case n < 7:
		return []upstream.EventKind{upstream.Suppressed}
	case n < 8:
		return []upstream.EventKind{upstream.Delivered, upstream.Complained}
	case n < 13:
		return []upstream.EventKind{upstream.Deferred, upstream.Delivered}
	}
	return []upstream.EventKind{upstream.Delivered}
}

func recipient(i int) string { return fmt.Sprintf("r%d@example.org", i) }

// sender: a sender gets twenty notifications within ten minutes and no more.
func sender(i int) string { return fmt.Sprintf("app%d@senders.example", i%500) }

func (w *toldWorld) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// serve is the provider. Of mail that it takes it tells sooner or later, sometimes before it has answered.
func (w *toldWorld) serve(rw http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/messages.mime") && !strings.HasSuffix(r.URL.Path, "/messages") {
		w.log.ServeHTTP(rw, r)
		return
	}
	before := len(w.log.Entries())
	answer := httptest.NewRecorder()
	w.log.ServeHTTP(answer, r)
	for _, e := range w.log.Entries()[before:] {
		if e.Kind == 0 {
			w.happens(e)
		}
	}
	maps.Copy(rw.Header(), answer.Header())
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(answer.Body.Bytes())
}

// happens makes a mail's fate: it enters the log, and webhooks tell of it, but for 3 % of them.
func (w *toldWorld) happens(taken telling.Entry) {
	var i int
	if _, err := fmt.Sscanf(taken.Recipient, "r%d@example.org", &i); err != nil {
		return
	}
	var list []telling.Entry
	for n, k := range fate(i) {
		e := taken
		e.ID, e.Kind, e.At = fmt.Sprintf("%s-%d-%d", taken.Mail, i, n), k, taken.At.Add(time.Duration(n)*time.Millisecond)
		if k == upstream.Bounced {
			e.Words, e.Status = "550 5.1.1 no such user", "5.1.1"
		}
		list = append(list, e)
	}
	w.log.Happen(list...)
	w.taken.Add(1)
	if w.mode == "poll" {
		return
	}
	slices.Reverse(list) // out of order
	early := w.roll(4) == 0
	var told sync.WaitGroup
	for _, e := range list {
		times := 1 + w.roll(5)/4
		if w.roll(100) < 3 {
			times = 0
		}
		told.Go(func() {
			for range times {
				w.push(e)
			}
		})
	}
	if early {
		done := make(chan struct{})
		w.pushes.Go(func() { told.Wait(); close(done) })
		select { // the answer to the mail comes after them, unless nobody takes them
		case <-done:
		case <-time.After(100 * time.Millisecond):
		}
		return
	}
	w.pushes.Go(told.Wait)
}

// push sends a webhook some times; a gateway that is dead takes none.
func (w *toldWorld) push(e telling.Entry) {
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	_, _ = w.log.Push(ctx, "http://"+w.hooks+"/events/main", func(time.Duration) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}, e)
}

// run sends all mail, over so many deaths.
func (w *toldWorld) run(mails, deaths int) {
	p := w.launch()
	next := 0
	for life := range deaths + 1 {
		for until := mails * (life + 1) / (deaths + 1); next < until; {
			next = w.sendUntil(next, until)
		}
		if life == deaths {
			break
		}
		time.Sleep(time.Duration(w.roll(300)) * time.Millisecond)
		p.kill()
		p = w.launch()
	}
	w.awaitReports(p, mails)
}

// sendUntil hands mail over, from one number on; what is not acknowledged goes again.
func (w *toldWorld) sendUntil(from, until int) int {
	client, err := smtp.Dial(w.addr)
	if err != nil {
		return from
	}
	defer client.Close()
	for ; from < until; from++ {
		// What is under way at a death is asked about one by one before it goes again: few are.
		for soon := time.Now().Add(100 * time.Millisecond); from-int(w.taken.Load()) > 10 && time.Now().Before(soon); {
			time.Sleep(time.Millisecond)
		}
		if client.Mail(sender(from)) != nil || client.Rcpt(recipient(from)) != nil {
			return from
		}
		d, err := client.Data()
		if err != nil {
			return from
		}
		fmt.Fprintf(d, "From: %s\r\nTo: %s\r\nSubject: mail %d\r\n\r\nhello\r\n", sender(from), recipient(from), from)
		if d.Close() != nil {
			return from
		}
	}
	return from
}

var (
	finalRecipient = regexp.MustCompile(`(?m)^Final-Recipient: rfc822; (\S+)`)
	reportID       = regexp.MustCompile(`(?m)^Message-ID: (\S+)`)
)

// reports returns the notifications by recipient that bounced. One that the relay got twice, because nobody recorded its
// answer before a death, is one.
func (w *toldWorld) reports() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, m := range w.relay.Taken() {
		text := string(m.Data)
		to, id := finalRecipient.FindStringSubmatch(text), reportID.FindStringSubmatch(text)
		if to == nil || id == nil {
			w.t.Errorf("no notification:\n%s", text)
			continue
		}
		to[1] = strings.TrimSpace(to[1])
		if out[to[1]] == nil {
			out[to[1]] = map[string]bool{}
		}
		out[to[1]][id[1]] = true
	}
	return out
}

// bounces are the numbers of mail that bounces.
func bounces(mails int) (list []int) {
	for i := range mails {
		if k := fate(i)[0]; k == upstream.Bounced || k == upstream.Suppressed {
			list = append(list, i)
		}
	}
	return list
}

// awaitReports waits until there are as many notifications as mail that bounced. The gateway is started again now and
// then: it asks soon after that.
func (w *toldWorld) awaitReports(p *process, mails int) {
	w.t.Helper()
	want := len(bounces(mails))
	for deadline := time.Now().Add(10 * time.Minute); ; p = w.launch() {
		for soon := time.Now().Add(2*time.Second + time.Duration(mails)*15*time.Millisecond); len(w.reports()) < want && time.Now().Before(soon); {
			time.Sleep(50 * time.Millisecond)
		}
		p.terminate(w.t)
		if len(w.reports()) >= want {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d notifications\n%.20000s", len(w.reports()), want, p.log)
		}
	}
}

// judge compares what everybody got with what happened.
func (w *toldWorld) judge(mails int) {
	t := w.t
	got := w.reports()
	for _, i := range bounces(mails) {
		if n := len(got[recipient(i)]); n != 1 {
			t.Errorf("%d notifications of %s, want 1", n, recipient(i))
		}
		delete(got, recipient(i))
	}
	for to := range got {
		t.Errorf("a notification of %s, which did not bounce", to)
	}
	for try := 1; ; try++ { // what webhooks did not bring is asked for soon after a start
		wrong := w.wrongStates(mails)
		if len(wrong) == 0 {
			break
		}
		if try == 10 {
			t.Fatalf("%d recipients of %d are in the wrong state: %.1000q", len(wrong), mails, wrong)
		}
		p := w.launch()
		time.Sleep(3*time.Second + time.Duration(mails)*10*time.Millisecond)
		p.terminate(t)
	}
	p := w.launch()
	for i := range mails {
		last := fate(i)[len(fate(i))-1]
		if last != upstream.Bounced && last != upstream.Complained { // `on` of [suppression]
			continue
		}
		if err := w.try(sender(i), recipient(i)); err == nil || !strings.Contains(err.Error(), "5.7.1 ") && !strings.Contains(err.Error(), "5.1.1 ") {
			t.Errorf("mail to %s, which %v: %v", recipient(i), last, err)
		}
	}
	p.terminate(t)
}

// try asks whether a recipient is taken.
func (w *toldWorld) try(from, to string) error {
	client, err := smtp.Dial(w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	if err := client.Mail(from); err != nil {
		w.t.Fatal(err)
	}
	return client.Rcpt(to)
}

// wrongStates compares the history with what happened.
func (w *toldWorld) wrongStates(mails int) (wrong []string) {
	r, err := engines.Read(w.t.Context(), engines.Default, queue.Settings{Dir: filepath.Join(w.dir, "state")})
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	records, err := r.Search(w.t.Context(), queue.HistoryFilter{Upstream: "main"})
	if err != nil {
		w.t.Fatal(err)
	}
	states := map[string]envelope.State{}
	for i := range records {
		states[records[i].Recipient.Address] = records[i].State
	}
	for i := range mails {
		want := map[upstream.EventKind]envelope.State{upstream.Bounced: envelope.Bounced, upstream.Suppressed: envelope.Bounced,
			upstream.Complained: envelope.Complained, upstream.Delivered: envelope.Delivered}[fate(i)[len(fate(i))-1]]
		if got := states[recipient(i)]; got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %s, want %s", recipient(i), got, want))
		}
	}
	return wrong
}
