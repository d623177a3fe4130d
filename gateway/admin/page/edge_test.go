package page

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// TestAssets: what pages load beside them is packed where the browser can unpack it, and is kept for good by its address.
func TestAssets(t *testing.T) {
	h := newHouse(t)
	body := h.ask("GET", "/overview", nil).Body.String()
	addresses := regexp.MustCompile(`"(/(?:style\.css|script\.js)\?[0-9a-f]+)"`).FindAllStringSubmatch(body, -1)
	if len(addresses) != 2 {
		t.Fatalf("%q", addresses)
	}
	for _, a := range addresses {
		r := httptest.NewRequestWithContext(t.Context(), "GET", a[1], nil)
		r.Header.Set("Accept-Encoding", "br, gzip")
		w := httptest.NewRecorder()
		h.page.ServeHTTP(w, r)
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := io.ReadAll(z)
		plain := h.ask("GET", strings.SplitN(a[1], "?", 2)[0], nil)
		if err != nil || string(packed) != plain.Body.String() || len(packed) == 0 {
			t.Errorf("%s: %d bytes packed, %d plain, %v", a[1], len(packed), plain.Body.Len(), err)
		}
		if !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || plain.Header().Get("Cache-Control") != "" {
			t.Errorf("%s: %v, without its tag %v", a[1], w.Header(), plain.Header())
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/messages", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	if h.page.ServeHTTP(w, r); w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a page: %v", w.Header())
	}
}

// TestPages: older mail is on further pages, each message on one.
func TestPages(t *testing.T) {
	h := newHouse(t)
	var ids []string
	for i := range perPage + 10 {
		if i%2 == 0 {
			ids = append(ids, h.add(plain, nil, sent("ann@example.org")))
		} else {
			ids = append(ids, h.add(plain, []queue.Part{part(envelope.Queued, "bulk", "ann@example.org")}))
		}
	}
	seen := map[string]int{}
	pages := 0
	for target := "/messages?q=to:ann"; target != ""; pages++ {
		body := h.ask("GET", target, nil).Body.String()
		for _, m := range regexp.MustCompile(`id="m-(\w+)"`).FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		next := regexp.MustCompile(`<a href="([^"]*)" rel="next">`).FindStringSubmatch(body)
		if target = ""; next != nil {
			target = strings.ReplaceAll(next[1], "&amp;", "&")
		}
		if pages > 0 && !strings.Contains(body, `<a href="/messages?q=to%3aann">Newest</a>`) && !strings.Contains(body, `<a href="/messages?q=to%3Aann">Newest</a>`) {
			t.Error("there is no way back to the newest")
		}
	}
	if pages != 2 || len(seen) != len(ids) {
		t.Errorf("%d of %d messages on %d pages", len(seen), len(ids), pages)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

// TestNotes: what keeps the gateway from taking mail is the worst, and stands at the top of each screen.
func TestNotes(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	v := &view{now: now}
	st := &api.Status{NotReady: []string{"new mail is refused: disk full", "upstream main is closed (account)"}, Store: api.StoreStatus{Notes: []string{"the log is long"}, Aside: 2, AsideDir: "/x"},
		Queue: map[envelope.State]api.QueueStatus{envelope.Queued: {Parts: 3, Oldest: now.Add(-2 * time.Hour)}, envelope.Held: {Parts: 2}, envelope.Failed: {Parts: 2}},
		Upstreams: []api.Upstream{{Name: "main", State: "closed", PausedBy: "ann", Why: "paused by ann since 12:00", Queued: 2}, {Name: "bulk", State: "probing", LastError: "421"},
			{Name: "sg", State: "open", Why: "refuses mail from root@example.com: 403; next try in 30 s", Refuses: []api.Refused{{From: "root@example.com"}}}}}
	list := h.page.notes(v, st)
	var all []string
	for _, n := range list {
		all = append(all, n.Text)
	}
	text := strings.Join(all, "\n")
	h.contains("the notes", text, "Not ready: new mail is refused: disk full.", "main is paused by ann since 12:00. 2 parts of mail wait.", "bulk has been probing.", "sg refuses mail from root@example.com: 403; next try in 30 s.", "came 2 h ago", "2 parts of mail are held",
		"2 parts of mail have failed", "The store: the log is long", "Stored bodies without a message were set aside in /x: 2.")
	if w := whole(list); w.Level != "bad" || w.Short != "Not ready: new mail is refused: disk full, 8 more" {
		t.Errorf("the worst is %+v", w)
	}
	if strings.Contains(text, "upstream main is closed (account)") {
		t.Error("an upstream is there twice")
	}
}

// TestWhole: all is well only where nothing waits for an operator, and what does is named in the unit it is counted in.
func TestWhole(t *testing.T) {
	h := newHouse(t)
	one := func(s envelope.State) map[envelope.State]api.QueueStatus {
		return map[envelope.State]api.QueueStatus{s: {Parts: 1, Oldest: time.Now()}}
	}
	for name, tc := range map[string]struct {
		st                 api.Status
		level, short, text string
	}{
		"nothing":  {api.Status{}, "good", "All mail is moving", ""},
		"waiting":  {api.Status{Queue: one(envelope.Queued)}, "good", "All mail is moving", ""},
		"failed":   {api.Status{Queue: one(envelope.Failed)}, "info", "1 failed", "1 part of mail has failed and can be tried again."},
		"held":     {api.Status{Queue: one(envelope.Held)}, "info", "1 held", "1 part of mail is held until somebody releases it."},
		"maildrop": {api.Status{Maildrop: &api.MaildropStatus{Refused: 1}}, "warn", "1 message left in the maildrop", "1 message could not be taken in"},
		"refused":  {api.Status{Upstreams: []api.Upstream{{Name: "sg", State: "open", Why: "refuses mail from a@x.org", Refuses: []api.Refused{{From: "a@x.org"}}}}}, "warn", "sg refuses mail from a@x.org", "sg refuses mail from a@x.org."},
		"senders":  {api.Status{Upstreams: []api.Upstream{{Name: "sg", State: "open", Why: "refuses mail from a@x.org; and 1 more", Refuses: []api.Refused{{From: "a@x.org"}, {From: "b@x.org"}}}}}, "warn", "sg refuses mail from 2 senders", "and 1 more."},
		"closed":   {api.Status{Upstreams: []api.Upstream{{Name: "bulk", State: "closed", Queued: 1}}}, "warn", "1 waits for bulk", "1 part of mail waits."},
		"an end":   {api.Status{Upstreams: []api.Upstream{{Name: "bulk", State: "open", Expiries: []api.Expiry{{Name: "token", At: time.Now()}}}}, Queue: one(envelope.Held)}, "warn", "bulk: its token ends soon, 1 more", "ends on"},
	} {
		list := h.page.notes(&view{now: time.Now()}, &tc.st)
		if w := whole(list); w.Level != tc.level || w.Short != tc.short {
			t.Errorf("%s: %+v", name, w)
		}
		if tc.text != "" && !strings.Contains(list[0].Text, tc.text) {
			t.Errorf("%s: %s", name, list[0].Text)
		}
	}
}

// TestSharedQueue: where several gateways share the queue, the overview says which numbers are of this one.
func TestSharedQueue(t *testing.T) {
	h := newHouse(t)
	const alone = "is counted by this gateway alone"
	if strings.Contains(h.see("/overview"), alone) {
		t.Error("a gateway of its own speaks of others")
	}
	cfg := *h.cfg
	cfg.Queue.Engine = "postgres"
	h.cfg = &cfg
	h.contains("the overview", h.see("/overview"), alone)
}

// TestYesterday: once a whole day has been counted, today stands beside it.
func TestYesterday(t *testing.T) {
	h := newHouse(t)
	now := time.Now().Truncate(24 * time.Hour).Add(12 * time.Hour)
	clock := now.Add(-72 * time.Hour)
	h.figures = figures.New(func() time.Time { return clock })
	h.page.cfg.Figures = h.figures
	clock = now.Add(-26 * time.Hour)
	h.figures.Hear(journal.Event{Name: "sent", Recipients: 5})
	clock = now
	list := h.page.today(now, &api.Status{})
	if !strings.Contains(list[0].Small, "yesterday") || list[1].Small != "5 yesterday by now" || list[2].Small != "" {
		t.Errorf("%+v", list)
	}
	for d, want := range map[time.Duration]string{7 * time.Hour: "about 7 h", 90 * time.Minute: "about 1 h 30 min", 7400 * time.Millisecond: "about 7 s", 730 * time.Millisecond: "about 700 ms", 2 * time.Millisecond: "about 2 ms"} {
		if got := roughly(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// TestStoreGone: a store that does not answer is said so, and no page is half of one.
func TestStoreGone(t *testing.T) {
	h := newHouse(t)
	id := h.add(plain, []queue.Part{part(envelope.Held, "main", "ann@example.org")})
	_ = h.queue.Close()
	for _, target := range []string{"/overview", "/messages", "/messages/" + id, "/messages/" + id + "/html", "/messages/" + id + "/source", "/messages/" + id + "/files/0", "/messages/" + id + "/again",
		"/upstreams", "/upstreams/main/pause", "/act?do=move&id=" + id, "/messages/export"} {
		w := h.ask("GET", target, nil)
		if w.Code != http.StatusInternalServerError {
			t.Errorf("%s: %d", target, w.Code)
		}
		h.contains(target, h.text(target, w), "The queue does not answer", "HTTP 500")
	}
	if w := h.ask("POST", "/act", url.Values{"do": {"retry"}, "id": {id}}); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "This cannot be done.") {
		t.Errorf("an action: %d %s", w.Code, w.Body)
	}
}

// TestRefused: mail that never came in is shown as what it is.
func TestRefused(t *testing.T) {
	h := newHouse(t)
	id := h.add(plain, nil, queue.Record{State: envelope.Refused, Error: "550 no", Recipient: envelope.Recipient{Address: "ann@example.org", Given: "root"}})
	h.contains("the list", h.see("/messages?q=state:refused"), "✕ refused", "550 no")
	h.contains("the message", h.see("/messages/"+id), "Handed over", "Refused for ann@example.org when it was handed over", "(given as root)")
	failed := h.add(plain, nil, queue.Record{State: envelope.Failed, Attempts: 2, Recipient: envelope.Recipient{Address: "bob@example.org"}})
	h.contains("a failure", h.see("/messages/"+failed), "after 2 attempts", "Given up for bob@example.org")
	again := h.add(plain, nil, queue.Record{State: envelope.Sent, Upstream: "main", Attempts: 3, Recipient: envelope.Recipient{Address: "bob@example.org"}})
	h.contains("late success", h.see("/messages/"+again), "by main", "at attempt 3")
}
