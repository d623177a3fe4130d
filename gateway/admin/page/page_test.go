package page

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// TestOverview: what is wrong stands first, in words, and the figures below it are those of the journal.
func TestOverview(t *testing.T) {
	h := newHouse(t)
	text := h.see("/")
	h.contains("an idle gateway", text, "All mail is moving", "mail.example.com", "mailhatch 1.2.3", "Opened by ann", "Nothing happened in this time")
	if strings.Contains(text, "Needs attention") {
		t.Error("an idle gateway needs attention")
	}
	h.add(plain, []queue.Part{part(envelope.Queued, "bulk", "ann@example.org"), part(envelope.Held, "", "bob@example.org"), part(envelope.Failed, "main", "eva@example.org")})
	now := time.Now()
	h.status = []api.Upstream{{Name: "main", Kind: "smtp", State: "open", MaxConcurrent: 16},
		{Name: "bulk", State: "closed", Reason: "account", Why: "closed: 401 <key> is invalid; probe in 27 s", Since: now.Add(-12 * time.Minute), LastError: "401 <key> is invalid", NextProbe: now.Add(27 * time.Second)},
		{Name: "old", State: "open", Expiries: []api.Expiry{{Name: "certificate", At: now.Add(time.Hour)}}},
		{Name: "token", State: "open", Expiries: []api.Expiry{{Name: "token", Error: "invalid_grant"}}}}
	for _, e := range []journal.Event{{Name: "accepted"}, {Name: "sent", Upstream: "main", Recipients: 1234, Age: 3 * time.Second}, {Name: "deferred", Recipients: 2}, {Name: "failed", Recipients: 1}} {
		h.figures.Hear(e)
	}
	for _, span := range []string{"", "?span=1h", "?span=24h", "?span=7d", "?span=nonsense"} {
		text = h.see("/overview" + span)
		h.contains("the overview", text, "Needs attention", "1 waits for bulk", "bulk has been closed for 12 min: 401 <key> is invalid; probe in 27 s. 1 part of mail waits.", "Move elsewhere…",
			"1 part of mail is held", "has failed and can be tried again", "The certificate of old ends on", "could not be renewed",
			"Sent today 1,234", "Failed today 1", "Waiting 1 part of mail the oldest for", "half within about", "put off")
	}
}

// TestStart: where mail is only caught, the messages come first and say how mail gets there.
func TestStart(t *testing.T) {
	h := newHouse(t)
	h.catcher = true
	if w := h.ask("GET", "/", nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/messages" {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	h.contains("the empty list", h.see("/messages"), "Waiting for the first mail", "curl -sS smtp://127.0.0.1:1025", "Nothing leaves this machine")
	id := h.add(plain, []queue.Part{part(envelope.Held, "main", "ann@example.org")})
	h.contains("caught mail", h.see("/messages/"+id), "See https://example.com/x.")
	h.add(plain, []queue.Part{part(envelope.Held, "main", "ann@example.org")})
	h = newHouse(t)
	h.contains("the empty list", h.see("/messages"), "No mail yet", "127.0.0.1:1025")
}

// TestMessages: a message is one row, whatever became of its recipients, and filters name what they filter.
func TestMessages(t *testing.T) {
	h := newHouse(t)
	h.add(mixed, []queue.Part{part(envelope.Queued, "bulk", "ann@example.org", "bob@example.org")}, sent("eva@example.org"))
	text := h.see("/messages")
	h.contains("the list", text, `<b>bold</b> & "quoted"`, "◐ waits 2", "● sent", "shop@example.com", "and 2 more", "bulk")
	h.contains("a search", h.see("/messages?q=to:ann"), "to: ann", "ann@example.org")
	nobody := h.see("/messages?q=to:nobody")
	h.contains("a search", nobody, "No message was found")
	if strings.Contains(nobody, "Is it a sender") {
		t.Error("a recipient is asked whether it is one")
	}
	h.contains("a search for a word", h.see("/messages?q=since:2h+nobody"), "No message was found", "Is it a sender or a recipient? Search to:nobody or from:nobody.")
	h.contains("its links", h.ask("GET", "/messages?q=since:2h+nobody", nil).Body.String(),
		`href="/messages?q=since%3A2h&#43;to%3Anobody"`, `href="/messages?q=since%3A2h&#43;from%3Anobody"`)
	h.contains("a mistyped search", h.see("/messages?q=tow:ann"), "This search is not understood", "tow:")
}

// TestMessage: each tab shows its part, and none of it is markup of the page.
func TestMessage(t *testing.T) {
	h := newHouse(t)
	id := h.add(mixed, []queue.Part{part(envelope.Held, "bulk", "ann@example.org")}, sent("eva@example.org"))
	address := "/messages/" + id
	text := h.see(address)
	h.contains("the message", text, `<b>bold</b> & "quoted"`, "■ heldann@example.org held", "● senteva@example.org taken by main", "Taken by main for eva@example.org", "as P1", "Release…", "Move…", "Send again…", "Accepted", "Download")
	h.contains("its HTML", h.see(address+"?tab=html"), "1 resource in it would have been fetched from other machines", "Fetch pictures")
	h.contains("its HTML", h.see(address+"?tab=html&remote"), "fetches pictures from other machines")
	h.contains("its header", h.see(address+"?tab=headers"), "X-Long", "Grüße", "=?utf-8?q?")
	h.contains("its files", h.see(address+"?tab=files"), `a"b.html`, "text/html", "multipart/mixed")
	h.contains("its source", h.see(address+"?tab=source"), "<script>alert(1)</script>")
	h.contains("a tab that it has not", h.see(address+"?tab=text"), "Accepted")
	other := h.add(plain, []queue.Part{part(envelope.Failed, "main", "ann@example.org")})
	h.contains("its text", h.see("/messages/"+other+"?tab=text"), "See https://example.com/x.")

	w := h.ask("GET", address+"/html", nil)
	if body := w.Body.String(); strings.Contains(body, "alert") || strings.Contains(body, "tracker") || !strings.Contains(body, "<p>Hi</p>") {
		t.Errorf("the frame has %s", body)
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "sandbox") {
		t.Errorf("the policy of the frame is %q", policy)
	}
	for target, name := range map[string]string{address + "/source": `attachment; filename=` + id + ".eml", address + "/files/0": `attachment; filename="a\"b.html"`} {
		w := h.ask("GET", target, nil)
		if d := w.Header().Get("Content-Disposition"); d != name || w.Header().Get("X-Content-Type-Options") != "nosniff" || strings.Contains(w.Header().Get("Content-Type"), "html") {
			t.Errorf("%s: %v", target, w.Header())
		}
	}
	gone := h.add(plain, nil, sent("ann@example.org"))
	h.contains("a message that is gone", h.see("/messages/"+gone), "by main", "are no longer kept")
	for _, target := range []string{"/messages/nonsense", "/messages/" + gone + "/html", "/messages/" + gone + "/source", address + "/files/9", address + "/files/x", "/nowhere"} {
		if w := h.ask("GET", target, nil); w.Code != http.StatusNotFound || !strings.Contains(h.text(target, w), "There is no such") && !strings.Contains(target, "files") {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// TestAct: an action says what it will touch, and then touches that.
// TestHoldInFlight: mail that is being offered may be sent all the same, and the page says so.
func TestHoldInFlight(t *testing.T) {
	for _, d := range deeds() {
		got := d.did(&api.Changed{Changed: 1, Recipients: 2, Offered: 1})
		if strings.Contains(got, "1 recipient is being offered right now, and held only if") != (d.Action == api.Hold) {
			t.Errorf("%s: %s", d.Action, got)
		}
	}
}

func TestAct(t *testing.T) {
	h := newHouse(t)
	id := h.add(plain, []queue.Part{part(envelope.Queued, "bulk", "ann@example.org", "bob@example.org"), part(envelope.Held, "bulk", "eva@example.org")})
	other := h.add(mixed, []queue.Part{part(envelope.Queued, "main", "ann@example.org")})
	text := h.see("/act?do=hold&id=" + id + "&id=" + other)
	h.contains("the question", text, "Hold 3 recipients of 2 messages?", "Hello to ann@example.org, bob@example.org", "◐ waitsbulk12", "◐ waitsmain11")
	if strings.Contains(text, "eva@example.org") {
		t.Error("it names recipients that are held already")
	}
	form := url.Values{"do": {"hold"}, "id": {id, other}, "csrf": {"secret-of-the-form"}}
	w := h.ask("POST", "/act", form)
	h.contains("the answer", h.text("/act", w), "3 recipients of 2 messages are held.")
	h.contains("the message", h.see("/messages/"+id), "ann@example.org held by page: ann", "bob@example.org held by page: ann", "Held by page: ann for ann@example.org and bob@example.org")
	if w := h.ask("POST", "/act", url.Values{"do": {"release"}, "id": {id}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/messages/"+id+"?did=release-3" {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	h.contains("what was done", h.see("/messages/"+id+"?did=release-3"), "3 recipients are released.")
	for _, did := range []string{"", "release", "release-", "release-0", "release--1", "explode-3", "<b>-3"} {
		if text := didThis(did); text != "" {
			t.Errorf("%q did %q", did, text)
		}
	}
	h.contains("a question about nothing", h.see("/act?do=release&id="+id), "Nothing to release")
	h.status = []api.Upstream{{Name: "relay", State: "open"}, {Name: "main", State: "open"}, {Name: "gone"}}
	text = h.see("/act?do=move&id=" + id)
	h.contains("the choice", text, "Move where?", "relay", "back to the routes")
	if strings.Contains(text, "gone") {
		t.Error("an upstream that the config has not is a choice")
	}
	h.contains("the question", h.see("/act?do=move&target=relay&q=upstream:bulk+state:queued"), "Move 3 recipients of 1 message to relay?", "that upstream:bulk state:queued finds")
	w = h.ask("POST", "/act", url.Values{"do": {"move"}, "target": {"relay"}, "q": {"upstream:bulk to:ann"}})
	h.contains("the answer", h.text("/act", w), "1 recipient of 1 message is moved.")
	h.contains("the message", h.see("/messages/"+id), "serves upstream relay", "moved it to relay for ann@example.org")
	back := "/act?do=move&target=(routes)&id=" + id
	h.contains("the question", h.see(back), "Move 1 recipient of 1 message to the routes?", "Mail that was not moved stays.")
	if form := h.ask("GET", back, nil).Body.String(); !strings.Contains(form, `name="target" value="(routes)"`) {
		t.Errorf("the form does not say where: %s", form)
	}
	w = h.ask("POST", "/act", url.Values{"do": {"move"}, "target": {toRoutes}, "q": {"to:ann"}})
	h.contains("the answer", h.text("/act", w), "1 recipient of 1 message is moved.")
	h.contains("the message", h.see("/messages/"+id), "to the routes for ann@example.org")
	h.contains("a question about nothing", h.see("/act?do=move&target=(routes)&id="+id), "Nothing to move")
	for _, query := range []string{"do=explode&id=" + id, "do=hold", "do=hold&%zz", "do=hold" + strings.Repeat("&id="+id, maxChosen+1), "do=hold&q=tow:x", "do=hold&q=state:sent",
		"do=hold&q=provider-id:x", "do=move&target=nowhere&id=" + id} {
		if w := h.ask("GET", "/act?"+query, nil); w.Code != http.StatusBadRequest {
			t.Errorf("%.40s: %d", query, w.Code)
		}
	}
}

// TestAgain: a message is sent again to those who are named, and the new one is shown.
func TestAgain(t *testing.T) {
	h := newHouse(t)
	id := h.add(plain, []queue.Part{part(envelope.Failed, "bulk", "ann@example.org", "bob@example.org")})
	h.contains("the question", h.see("/messages/"+id+"/again"), "Send “Hello” again?", "ann@example.org bob@example.org")
	target := "/messages/" + id + "/again"
	if w := h.ask("POST", target, url.Values{"to": {"ann@example.org\r\neva@example.org"}, "via": {"relay"}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/messages/AGAIN" {
		t.Errorf("%d to %s: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	if want := (api.Resend{To: []string{"ann@example.org", "eva@example.org"}, Via: "relay"}); !reflect.DeepEqual(h.again, want) {
		t.Errorf("asked for %+v", h.again)
	}
	if w := h.ask("POST", target, url.Values{"to": {" "}}); w.Code != http.StatusBadRequest {
		t.Errorf("to nobody: %d", w.Code)
	}
	if w := h.ask("POST", target, url.Values{"to": {"nobody@"}}); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "no mailbox") {
		t.Errorf("to what is no address: %d %s", w.Code, w.Body)
	}
}

// TestNoSuchPlace: an address of a list that nobody gave out is a mistake of who asks, not of the gateway.
func TestNoSuchPlace(t *testing.T) {
	h := newHouse(t)
	for _, after := range []string{"junk", "!!", "junk\x00", "-"} {
		if w := h.ask("GET", "/messages?after="+url.QueryEscape(after), nil); w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d %s", after, w.Code, w.Body)
		}
	}
}

// TestUpstreams: what is known of each upstream, and what can be done to it as it is.
func TestUpstreams(t *testing.T) {
	h := newHouse(t)
	h.contains("no upstreams", h.see("/upstreams"), "There is no upstream.")
	soon := time.Now().Add(90 * time.Second)
	h.status = []api.Upstream{
		{Name: "main", Kind: "smtp", State: "open", MaxConcurrent: 16, Rate: 2, Quota: []api.Quota{{Limit: "300/d", Until: soon}}, LastError: "421 later", FailedAt: time.Now()},
		{Name: "bulk", State: "closed", Why: "closed: 401 bad key", Since: time.Now(), NextProbe: soon, LastError: "401 bad key",
			Expiries: []api.Expiry{{Name: "token", Error: "invalid_grant"}, {Name: "token"}, {Name: "token", At: soon, Renewed: true}, {Name: "certificate", At: soon}}},
		{Name: "rest", State: "closed", PausedBy: "ann", Why: "paused by ann"}, {Name: "broken", State: "open"},
		{Name: "sg", State: "open", Why: "refuses mail from root@example.com: 403", Refuses: []api.Refused{{From: "root@example.com", Error: "403"}, {From: "*@example.net", Error: "403 domain"}}}}
	h.add(plain, []queue.Part{part(envelope.Queued, "gone", "ann@example.org"), part(envelope.Queued, "bulk", "bob@example.org")})
	h.figures.Hear(journal.Event{Name: "deferred", Upstream: "bulk", Class: "account", Error: "401 <key>", ID: "Q1", Recipients: 7})
	h.figures.Hear(journal.Event{Name: "sent", Upstream: "main", Recipients: 100, Took: time.Minute})
	text := h.see("/upstreams")
	h.contains("the upstreams", text, "half of the recipients within", "What has failed since the start", "account7401 <key>", "at most 2/s", "Quota 300/d0 left until", "Last error", "421 later", "closed: 401 bad key", "not renewed: invalid_grant", "none yet",
		"is renewed before its end", "refuses mail from root@example.com: 403", "mail from *@example.net: 403 domain", "ends then", "paused by ann", "Resume…", "Probe now…", "It is not in the config")
	for action, want := range map[string]string{"pause": "Pause bulk?", "resume": "Resume bulk?", "probe": "Probe bulk now?"} {
		target := "/upstreams/bulk/" + action
		h.contains("the question", h.see(target), want, "1 part of mail waits for it")
		if w := h.ask("POST", target, url.Values{}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/upstreams?did="+action+"-bulk#up-bulk" || h.steered != action+" bulk by page: ann" {
			t.Errorf("%s: %d, %s", action, w.Code, h.steered)
		}
	}
	for did, want := range map[string]string{"pause-bulk": "bulk is paused.", "resume-bulk": "bulk is resumed.", "probe-bulk": "bulk is probed:", "explode-bulk": "", "pause-nope": "", "pause-gone": ""} {
		if text := didToUpstream(did, &api.Status{Upstreams: h.status}); !strings.HasPrefix(text, want) || want == "" && text != "" {
			t.Errorf("%s did %q", did, text)
		}
	}
	for target, status := range map[string]int{"/upstreams/bulk/explode": 400, "/upstreams/gone/pause": 404, "/upstreams/broken/pause": 400} {
		if w := h.ask("POST", target, url.Values{}); w.Code != status {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// TestRoutes: the rules in their order, and for a message that is not sent which of them decides, and why.
// TestGateways: those that share the queue, and what each did.
func TestGateways(t *testing.T) {
	h := newHouse(t)
	if text := h.see("/upstreams"); strings.Contains(text, "Gateways") {
		t.Error("this one is alone")
	}
	h.fleet = []queue.Gateway{{Name: "app1-abcde", Version: "1.2.3", Since: time.Now().Add(-time.Hour), Seen: time.Now(), Alive: true, Lanes: []string{"bulk", "main"}},
		{Name: "app2-fghij", Version: "1.2.2", Since: time.Now().Add(-time.Hour), Seen: time.Now().Add(-time.Hour)}}
	h.contains("the gateways", h.see("/upstreams"), "Gateways on the queue", "app1-abcde this one", "1.2.3", "bulk, main", "app2-fghij gives no sign of life", "1.2.2")
	id := h.add(plain, []queue.Part{part(envelope.Queued, "main", "ann@example.org")},
		queue.Record{State: envelope.Sent, Recipient: envelope.Recipient{Address: "bob@example.org"}, Upstream: "main", At: time.Now(), Gateway: "app2-fghij"})
	h.contains("who has sent it", h.see("/messages/"+id), "bob@example.org at gateway app2-fghij")
}

func TestRoutes(t *testing.T) {
	h := newHouse(t)
	h.contains("the rules", h.see("/routes"), "drafts", `to = ["*@drafts.example.net"]`, "hold", "route 2", "none: always", "via main")
	text := h.see("/routes?to=bob@example.org,eva@drafts.example.net&from=app@example.com")
	h.contains("the answer", text, "bob@example.org: route 2: via main", "drafts does not match: to =", "route 2 decides", "eva@drafts.example.net: drafts: hold", "drafts decides")
	w := h.ask("POST", "/routes", url.Values{"to": {""}, "message": {"From: a@example.com\nTo: eva@drafts.example.net\n\nHi"}})
	h.contains("the answer about a message", h.text("/routes", w), "eva@drafts.example.net: drafts: hold")
	h.contains("nobody", h.see("/routes?to="), "no recipients")
	h.contains("a refusal", h.see("/routes?to=bob@example.org&user=nobody"), "It is refused:", "has no user")
	h.contains("a mistake", h.see("/routes?to=bob@example.org&client=nonsense"), "is not an IP address")
}

// TestConfig: what is in force, where it stands, what is odd about it; never a secret.
func TestConfig(t *testing.T) {
	h := newHouse(t)
	text := h.see("/config")
	h.contains("the config", text, h.cfg.File, `hostname "mail.example.com" line 1`, "api_key ***", "holds a secret, and this file is readable by every user", `max_age "5d" default`, "[upstream.bulk]", "[[route]] 2", "no route sends mail to this upstream")
	if strings.Contains(text, "SECRET") {
		t.Error("the secret is shown")
	}
	h.contains("a reload", h.text("/config/reload", h.ask("POST", "/config/reload", url.Values{})), "The config was read again and is in force.", "state_dir changed")
	h.reload = errors.New("it is away")
	h.contains("a reload that fails", h.text("/config/reload", h.ask("POST", "/config/reload", url.Values{})), "The new config was refused", "it is away")
	h.reload = &config.Error{File: "x", Problems: []config.Problem{{Line: 3, Key: "hostnam", Problem: "is no key", Hint: "did you mean hostname?"}}}
	h.contains("a bad config", h.text("/config/reload", h.ask("POST", "/config/reload", url.Values{})), "line 3: hostnam is no key did you mean hostname?")
}

// TestSuppressed: who gets no mail, why, and how that ends.
func TestSuppressed(t *testing.T) {
	h := newHouse(t)
	h.contains("nobody suppressed", h.see("/suppressed"), "No address is suppressed.", "mailhatch suppress add ADDRESS")
	at := time.Now().Add(-time.Hour)
	var list []queue.Suppression
	for i := range perPage + 5 {
		list = append(list, queue.Suppression{Address: fmt.Sprintf("old%d@example.org", i), Reason: queue.ReasonManual, At: at, By: "root"})
	}
	list = append(list, queue.Suppression{Address: "<b>@example.org", Domain: "news.example.com", Reason: queue.ReasonBounced, At: time.Now(), Until: time.Now().Add(48 * time.Hour),
		Upstream: "bulk", ID: queue.FormatID(9), Words: "550 <who>?"})
	if _, err := h.queue.Suppress(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	text := h.see("/suppressed")
	h.contains("the list", text, "<b>@example.org", "550 <who>?", "news.example.com", "its mail", "old9@example.org", "root", "Older")
	if h.contains("found", h.see("/suppressed?address=old7@example.org&reason=manual"), "old7@example.org"); strings.Contains(h.see("/suppressed?address=old7@"), "old8@") {
		t.Error("what does not match is shown")
	}
	h.contains("nothing found", h.see("/suppressed?address=nobody@"), "No address matches.")
	form := url.Values{"address": {"<b>@example.org"}, "domain": {"news.example.com"}, "upstream": {"bulk"}}
	r := h.ask("POST", "/suppressed/lift", form)
	if r.Code != http.StatusSeeOther || h.steered != "lift <b>@example.org at bulk by page: ann" {
		t.Errorf("%d, %q", r.Code, h.steered)
	}
	h.contains("after that", h.see(r.Header().Get("Location")), "<b>@example.org is off the list")
	h.contains("twice", h.text("/suppressed/lift", h.ask("POST", "/suppressed/lift", form)), "This address is not on the list.")
	h.contains("no address", h.text("/suppressed/lift", h.ask("POST", "/suppressed/lift", url.Values{"address": {""}})), "This cannot be done.", "names no address")
}

// TestRequest: what each upstream is sent.
func TestRequest(t *testing.T) {
	h := newHouse(t)
	id := h.add(plain, []queue.Part{part(envelope.Queued, "bulk", "ann@example.org"), part(envelope.Queued, "broken", "bob@example.org")}, sent("eva@example.org"))
	h.contains("the requests", h.see("/messages/"+id+"?tab=request"), "POST /emails of "+id+" to ann@example.org", "it cannot be shown", "to eva@example.org")
	c := capped{most: 5}
	if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
		t.Error(n, err)
	}
	if _, err := c.Write([]byte("defg")); err == nil || string(c.b) != "abcde" || !c.cut {
		t.Errorf("%q %v", c.b, err)
	}
}

// TestLive: who watches hears that something happened, at once where it happened before they came.
func TestLive(t *testing.T) {
	h := newHouse(t)
	server := httptest.NewServer(h.page)
	defer server.Close()
	place := h.page.live.place()
	h.page.Hear(journal.Event{Name: "accepted"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+place, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if text := lines.Text(); text != "" && !strings.HasPrefix(text, "retry") {
				if text != want {
					t.Errorf("heard %q, want %q", text, want)
				}
				return
			}
		}
		t.Fatal("the stream ended")
	}
	next("data: 1")
	for range 3 {
		h.page.Hear(journal.Event{Name: "accepted"})
	}
	for lines.Scan() && lines.Text() != "data: 4" { // they may come one by one
	}
	for range maxStreams {
		h.page.live.watch()
	}
	if w := h.ask("GET", "/live", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", w.Code)
	}
}

// TestWords: states as people read them, and names of files that hold no surprise.
func TestWords(t *testing.T) {
	for name, want := range map[string]string{"a\r\nb/c\\d": "attachment; filename=a__b_c_d", "": `attachment; filename=""`, "grün.pdf": "attachment; filename*=utf-8''gr%C3%BCn.pdf", "\xff": "attachment; filename=_"} {
		if got := contentDisposition(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	for s, want := range map[envelope.State]string{envelope.Queued: "◐ waits", envelope.Held: "■ held", envelope.Failed: "▲ failed", envelope.Sent: "● sent", envelope.Discarded: "○ discarded", envelope.Refused: "✕ refused"} {
		if got := stateShape(s) + " " + stateWord(s); got != want {
			t.Errorf("%s is %q", s, got)
		}
	}
}

// TestExport: what was found is a file with a line for each recipient, and no cell of it is a formula.
func TestExport(t *testing.T) {
	h := newHouse(t)
	id := h.add("Subject: =1+1\n\nx\n", []queue.Part{part(envelope.Queued, "bulk", "ann@example.org")}, sent("eva@example.org"))
	for range exportStep {
		h.add(plain, nil, sent("bob@example.org"))
	}
	w := h.ask("GET", "/messages/export?q=to:ann", nil)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(lines) != 3 || lines[0] != "id,at,state,from,to,subject,upstream,provider_id,attempts,error" || !strings.Contains(lines[1], "queued,shop@example.com,ann@example.org,'=1+1,bulk") ||
		!strings.Contains(lines[2], "sent,") || w.Header().Get("Content-Disposition") != "attachment; filename=mail.csv" {
		t.Errorf("%v %q", w.Header(), lines)
	}
	w = h.ask("GET", "/messages/export?format=json", nil)
	lines = strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(lines) != exportStep+2 || strings.Count(w.Body.String(), `{"id":"`+id) != 2 {
		t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
	if w := h.ask("GET", "/messages/export?q=tow:x", nil); w.Code != http.StatusBadRequest {
		t.Error(w.Code)
	}
}
