//go:build unix

package fleet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailhatch/gateway/queue/postgres/postgrestest"
)

// messages is how many are sent; $MAILHATCH_FLEET_MESSAGES sets another number.
func messages(t *testing.T) int {
	text := os.Getenv("MAILHATCH_FLEET_MESSAGES")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestThreeGateways: three gateways share a queue while they are killed, stopped for longer than their lease and rolled to
// a config with another upstream, and while the database is restarted. What was acknowledged arrives: once where the provider
// knows repeated offers, and elsewhere once but for offers that were in flight when a gateway was killed or stopped.
func TestThreeGateways(t *testing.T) {
	want := messages(t)
	w := newTown(t, 3)
	for _, m := range w.members {
		m.start()
	}
	ctx, stop := context.WithTimeout(t.Context(), max(patient, time.Duration(want)*20*time.Millisecond))
	defer stop()
	sent := make(chan struct{})
	go func() { defer close(sent); w.send(ctx, want) }()
	faults := w.trouble(ctx, want)
	select {
	case <-sent:
	case <-ctx.Done():
		t.Fatalf("%d of %d messages were taken\n%s", w.count(), want, w.logs())
	}
	for len(w.missing()) > 0 {
		if ctx.Err() != nil {
			missing := w.missing()
			t.Fatalf("%d acknowledged recipients got nothing, such as %s\n%s", len(missing), missing[0], w.logs())
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, m := range w.members {
		m.signal(syscall.SIGTERM)
	}
	for _, m := range w.members {
		m.await()
	}
	twice := 0
	for rcpt, n := range w.arrivals() {
		switch {
		case n < 2:
		case strings.HasSuffix(rcpt, "@relay.example.org"):
			twice += n - 1
		default:
			t.Errorf("%s got %d, from a provider that knows repeated offers", rcpt, n)
		}
	}
	if twice > faults*atOnce {
		t.Errorf("%d duplicates at the relay, of %d deaths and stops with %d offers in flight", twice, faults, atOnce)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d messages acknowledged of %d tried; %d duplicates at the relay after %d deaths and stops", len(w.acked), w.tried, twice, faults)
}

// TestDatabaseAway: while the database is away one gateway refuses new mail for the time being and the other keeps it in its
// spool, from the first message on; both start without the database, too. What was acknowledged is there once when that is
// back, though the gateway with the spool was killed.
func TestDatabaseAway(t *testing.T) {
	w := newTown(t, 2)
	told := w.listenToAlerts("internal_error")
	plain, spooling := w.members[0], w.members[1]
	spooling.spool = true
	plain.start()
	spooling.start()
	w.session(plain, 20)
	w.session(spooling, 40)
	before, tried := w.count(), w.tried
	server.Stop(t)
	for w.count() < before+60 {
		w.session(spooling, before+60)
		if n := w.tried - tried; w.count() != before+n { // the first of an outage too
			t.Fatalf("%d of %d messages were taken while the database was away\n%s", w.count()-before, n, w.logs())
		}
	}
	taken := w.count()
	w.session(plain, taken+1)
	if n := w.count(); n != taken {
		t.Error("a gateway without a spool takes mail while the database is away")
	}
	spooling.signal(syscall.SIGKILL)
	spooling.await()
	spooling.start()
	w.session(spooling, taken+20) // it starts without the database
	if w.count() != taken+20 {
		t.Errorf("%d of 20 messages were taken by a gateway that started while the database was away", w.count()-taken)
	}
	spooling.awaitReady("that mail is in its spool", func(why string) bool { return strings.Contains(why, "kept in the spool") })
	plain.signal(syscall.SIGKILL)
	plain.await()
	told.Store(false) // one that starts without the database says so, too
	plain.start()
	w.session(plain, taken+21)
	if n := w.count(); n != taken+20 {
		t.Error("a gateway without a spool that started while the database was away takes mail")
	}
	plain.awaitReady("that mail is refused", func(why string) bool { return strings.Contains(why, "new mail is refused") })
	for deadline := time.Now().Add(patient); !told.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no alert says that the database is away\n%s", w.logs())
		}
	}

	server.Start(t)
	for _, m := range w.members {
		m.awaitReady("that it is ready", func(why string) bool { return why == "" })
	}
	taken = w.count()
	w.session(plain, taken+10)
	w.session(spooling, taken+20)
	if n := w.count(); n != taken+20 {
		t.Errorf("%d of 20 messages were taken once the database was back", n-taken)
	}
	w.awaitAll()
	for rcpt, n := range w.arrivals() {
		if n > 1 && !strings.HasSuffix(rcpt, "@relay.example.org") {
			t.Errorf("%s got %d", rcpt, n)
		}
	}
}

// listenToAlerts has all gateways send alerts on an event to a receiver; told becomes true when one says that the database is away.
func (w *town) listenToAlerts(event string) (told *atomic.Bool) {
	told = &atomic.Bool{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if text, err := io.ReadAll(r.Body); err == nil && strings.Contains(string(text), event) && strings.Contains(string(text), "out of reach") {
			told.Store(true)
		}
	}))
	w.t.Cleanup(s.Close)
	w.more += fmt.Sprintf("[[alert]]\non = [%q]\nurl = %q\n", event, s.URL)
	return told
}

// TestInFlight: what is being offered when the database goes is offered to its end, once, and recorded when that is back; meanwhile
// the gateway does not ask for it all the time. A database that hangs is away too.
func TestInFlight(t *testing.T) {
	w := newTown(t, 1)
	db := w.url
	p := postgrestest.NewProxy(t, db)
	w.url = p.URL
	m := w.members[0]
	m.spool = true
	m.start()
	hold := make(chan struct{})
	w.hold.Store(&hold)
	for w.held.Load() == 0 { // some of the mail is for the relay
		w.session(m, w.count()+1)
	}
	p.Away(true)
	w.hold.Store(nil)
	close(hold)
	m.awaitReady("that the database is away", func(why string) bool { return strings.Contains(why, "kept in the spool") })
	before, _ := p.Count()
	const rest = 4 * time.Second
	time.Sleep(rest)
	after, _ := p.Count()
	if t.Logf("%d connections were tried within %s", after-before, rest); after-before > 20*int64(rest/time.Second) {
		t.Error("it asks all the time")
	}
	p.Away(false)
	w.awaitAll()
	m.awaitReady("that it is ready", func(why string) bool { return why == "" })

	p.Hang(true)
	m.awaitReady("that the database is away", func(why string) bool { return strings.Contains(why, "kept in the spool") })
	want := w.count() + 20
	w.session(m, want)
	if n := w.count(); n != want {
		t.Errorf("%d of 20 messages were taken while the database hung", 20-want+n)
	}
	p.Hang(false)
	w.awaitAll()
	m.signal(syscall.SIGTERM)
	m.await()
	for rcpt, n := range w.arrivals() {
		if n != 1 {
			t.Errorf("%s got %d", rcpt, n)
		}
	}
	if n := server.Row(t, db, "SELECT count(DISTINCT message)::text || ' ' || (SELECT count(*) FROM parts) FROM history WHERE state = 3"); n != fmt.Sprint(w.count(), " 0") {
		t.Errorf("messages in the history and parts in the queue: %s, want %d and none", n, w.count())
	}
}

// awaitAll waits until all that was acknowledged has arrived.
func (w *town) awaitAll() {
	w.t.Helper()
	for deadline := time.Now().Add(patient); len(w.missing()) > 0; time.Sleep(50 * time.Millisecond) {
		if missing := w.missing(); time.Now().After(deadline) && len(missing) > 0 {
			w.t.Fatalf("%d acknowledged recipients got nothing, such as %s\n%s", len(missing), missing[0], w.logs())
		}
	}
}

// trouble makes it, spread over the messages, and returns how many deaths and stops there were. All gateways run at its end.
func (w *town) trouble(ctx context.Context, want int) (faults int) {
	reached := func(part, of int) {
		for w.count() < want*part/of && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
	a, b, c := w.members[0], w.members[1], w.members[2]
	kill := func(m *member) {
		m.signal(syscall.SIGKILL)
		m.await()
		m.start()
		faults++
	}
	reached(1, 10)
	kill(a)

	reached(2, 10)
	b.signal(syscall.SIGSTOP)
	stopped := time.Now()
	faults++

	reached(3, 10)
	server.Restart(w.t)

	reached(4, 10) // one gateway knows an upstream that the others do not
	c.signal(syscall.SIGTERM)
	c.await()
	c.late = true
	c.start()

	time.Sleep(time.Until(stopped.Add(lease + 2*time.Second)))
	b.signal(syscall.SIGCONT)

	reached(6, 10)
	kill(c)

	reached(7, 10)
	server.Restart(w.t)

	reached(8, 10)
	for _, m := range []*member{a, b} {
		m.signal(syscall.SIGTERM)
		m.await()
		m.late = true
		m.start()
	}
	return faults
}
