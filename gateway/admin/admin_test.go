package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves cfg on a socket and a TCP port for as long as the test runs.
func start(t *testing.T, cfg Config) (c *Client, address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh") // short: socket paths are limited to about 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SocketName)
	socket, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- New(cfg).Serve(ctx, socket, tcp) }()
	c = NewClient(path)
	t.Cleanup(func() {
		c.Close()
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
		os.RemoveAll(dir)
	})
	return c, tcp.Addr().String()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func ids(p *Page) string {
	var list []string
	for _, m := range p.Messages {
		list = append(list, m.ID)
	}
	return strings.Join(list, " ")
}

func TestList(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "relay", envelope.Held, envelope.Queued),
		message("C3", "eve", "main", envelope.Failed))
	c, _ := start(t, Config{Queue: q})
	cases := []struct {
		filter     Filter
		want, next string
	}{
		{Filter{}, "A1 B2 C3", ""},
		{Filter{State: envelope.Queued}, "A1 B2", ""},
		{Filter{Upstream: "relay"}, "B2", ""},
		{Filter{IDs: []string{"A1", "C3", "ZZ"}}, "A1 C3", ""},
		{Filter{Limit: 2}, "A1 B2", "B2"},
		{Filter{Limit: 2, After: "B2"}, "C3", ""},
		{Filter{State: envelope.Failed, Upstream: "relay"}, "", ""},
	}
	for _, v := range []View{c, Reader{q}} {
		for _, tc := range cases {
			p, err := v.List(t.Context(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			if ids(p) != tc.want || p.Next != tc.next || p.Messages == nil {
				t.Errorf("%T %+v: %q next %q", v, tc.filter, ids(p), p.Next)
			}
		}
	}
}

func TestShow(t *testing.T) {
	m := message("A1", "ann", "main", envelope.Queued)
	m.Parts[0].NextAt = day0.Add(time.Hour)
	m.Parts[0].Progress = envelope.Progress{Attempts: 3, Uncertain: true, Error: "timeout"}
	q := newFake(m)
	c, _ := start(t, Config{Queue: q})
	for _, v := range []View{c, Reader{q}} {
		got, err := v.Show(t.Context(), "A1")
		if err != nil {
			t.Fatal(err)
		}
		want := &Message{ID: "A1", Size: 1000, Header: m.Header, Envelope: m.Envelope,
			Parts: []Part{{State: envelope.Queued, Upstream: "main", NextAt: day0.Add(time.Hour), To: m.Parts[0].To, Progress: m.Parts[0].Progress}}}
		if d := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); d != "" {
			t.Errorf("%T: %s", v, d)
		}
		for _, id := range []string{"ZZ", "../log", "a/b", "?x=y"} {
			if _, err := v.Show(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("%T %q: %v", v, id, err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	c, _ := start(t, Config{Queue: q})
	for _, v := range []View{c, Reader{q}} {
		r, err := v.Open(t.Context(), "A1")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != string(q.bodies["A1"]) || r.Close() != nil {
			t.Errorf("%T: %q %v", v, b, err)
		}
		if _, err := v.Open(t.Context(), "ZZ"); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestLog(t *testing.T) {
	at := func(h int) time.Time { return day0.Add(time.Duration(h) * time.Hour) }
	waiting := message("B2", "bob", "relay", envelope.Queued)
	waiting.Parts[0].Progress = envelope.Progress{Attempts: 2, LastAttempt: at(3), Error: "451 later"}
	waiting.Parts[0].NextAt = at(9)
	q := newFake(waiting, message("C3", "eve", "main", envelope.Failed))
	q.history = []queue.Record{
		{ID: "A1", At: at(4), State: envelope.Sent, From: "app@example.com", Recipient: envelope.Recipient{Address: "ann@example.org"}, ProviderID: "p-1"},
		{ID: "A0", At: at(1), State: envelope.Discarded, Recipient: envelope.Recipient{Address: "bob@example.org"}},
	}
	c, _ := start(t, Config{Queue: q})
	cases := []struct {
		filter    LogFilter
		want      string
		truncated bool
	}{
		{LogFilter{}, "A1 sent, B2 queued, A0 discarded, C3 failed", false},
		{LogFilter{To: "BOB@*"}, "B2 queued, A0 discarded", false},
		{LogFilter{To: "bob"}, "B2 queued", false}, // as the client wrote it
		{LogFilter{ID: "C3"}, "C3 failed", false},
		{LogFilter{Since: at(2)}, "A1 sent, B2 queued", false},
		{LogFilter{Limit: 1}, "A1 sent", true},
		{LogFilter{ID: "C3", From: "nobody@*"}, "", false},
		{LogFilter{ID: "C3", To: "ann@*"}, "", false},
	}
	for _, v := range []View{c, Reader{q}} {
		for _, tc := range cases {
			l, err := v.Log(t.Context(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range l.Entries {
				got = append(got, e.ID+" "+string(e.State))
			}
			if s := strings.Join(got, ", "); s != tc.want || l.Truncated != tc.truncated || l.Entries == nil {
				t.Errorf("%T %+v: %q %v", v, tc.filter, s, l.Truncated)
			}
		}
	}
	l, err := c.Log(t.Context(), LogFilter{ID: "B2"})
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{ID: "B2", At: at(3), State: envelope.Queued, From: "app@example.com", To: "bob@example.org", Given: "bob", Upstream: "relay",
		Attempts: 2, Error: "451 later", NextAt: at(9), Header: waiting.Header, Size: 1000, Received: day0}
	if d := cmp.Diff([]Entry{want}, l.Entries); d != "" {
		t.Error(d)
	}
}

func TestLogOfALongQueue(t *testing.T) {
	q := newFake()
	for i := range maxScan + 10 {
		m := message(fmt.Sprintf("M%06d", i), "ann", "main", envelope.Queued)
		q.messages[m.ID] = &m
	}
	l, err := Reader{q}.Log(t.Context(), LogFilter{To: "nobody"})
	if err != nil || len(l.Entries) != 0 || !l.Truncated {
		t.Errorf("%d entries, %v %v", len(l.Entries), l.Truncated, err)
	}
	if n := len(q.lists); n != maxScan/maxPage {
		t.Errorf("%d pages were read", n)
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"a", "", false}, {"", "a", false}, {"A@X", "a@x", true}, {"*@x.org", "ann@X.org", true},
		{"a?n@*", "ann@x", true}, {"a?n@*", "an@x", false}, {"*a*b*", "xxaxxbxx", true}, {"*a*b", "abc", false}, {"[a]", "a", false},
		{strings.Repeat("*a", 30) + "b", strings.Repeat("a", 3000), false},
	} {
		if got := matches(tc.pattern, tc.s); got != tc.want {
			t.Errorf("%.20q %.20q: %v", tc.pattern, tc.s, got)
		}
	}
}

func TestStatus(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "main", envelope.Held))
	q.lanes = map[string]queue.Lane{"main": {Queued: 4, NextAt: day0}, "gone": {Queued: 1}, "empty": {}}
	c, _ := start(t, Config{Queue: q, Version: "1.2", Hostname: "gw", Started: day0,
		Ready: func() []string { return []string{"upstream relay is closed"} },
		Status: func() []Upstream {
			return []Upstream{{Name: "main", Kind: "resend", State: "open", MaxConcurrent: 16}, {Name: "relay"}}
		}})
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := &Status{Running: true, Version: "1.2", Hostname: "gw", Started: day0, NotReady: []string{"upstream relay is closed"},
		Upstreams: []Upstream{{Name: "main", Kind: "resend", State: "open", MaxConcurrent: 16, Queued: 4, NextAt: day0}, {Name: "relay"}, {Name: "gone", Queued: 1}},
		Queue: map[envelope.State]QueueStatus{envelope.Queued: {Parts: 1, Bytes: 1000, Oldest: day0},
			envelope.Held: {Parts: 1, Bytes: 1000, Oldest: day0}, envelope.Failed: {}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	offline, err := Reader{q}.Status(t.Context())
	if err != nil || offline.Running || offline.Queue[envelope.Queued].Parts != 1 || len(offline.Upstreams) != 2 {
		t.Errorf("%+v %v", offline, err)
	}
	// A source without schedule, as an engine that is open for reading.
	bare, err := Reader{struct{ Source }{q}}.Status(t.Context())
	if err != nil || len(bare.Upstreams) != 0 {
		t.Errorf("%+v %v", bare, err)
	}
}

func TestAct(t *testing.T) {
	states := func(q *fakeQueue) string {
		var list []string
		for _, id := range []string{"A1", "B2", "C3"} {
			if m := q.messages[id]; m != nil {
				list = append(list, id+" "+string(m.Parts[0].State))
			}
		}
		return strings.Join(list, ", ")
	}
	cases := []struct {
		action  Action
		sel     Selection
		changed int
		missing []string
		want    string
	}{
		{Retry, Selection{IDs: []string{"C3", "ZZ"}}, 1, []string{"ZZ"}, "A1 queued, B2 held, C3 queued"},
		{Retry, Selection{All: true}, 1, nil, "A1 queued, B2 held, C3 queued"},
		{Hold, Selection{IDs: []string{"A1", "A1"}}, 1, nil, "A1 held, B2 held, C3 failed"},
		{Hold, Selection{All: true, Upstream: "relay"}, 0, nil, "A1 queued, B2 held, C3 failed"},
		{Release, Selection{All: true}, 1, nil, "A1 queued, B2 queued, C3 failed"},
		{Release, Selection{IDs: []string{"YY", "ZZ"}}, 0, []string{"YY", "ZZ"}, "A1 queued, B2 held, C3 failed"},
		{Delete, Selection{IDs: []string{"B2"}}, 1, nil, "A1 queued, C3 failed"},
		{Delete, Selection{All: true, State: envelope.Failed}, 1, nil, "A1 queued, B2 held"},
		{Delete, Selection{All: true}, 3, nil, ""},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.action, tc.sel), func(t *testing.T) {
			q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "main", envelope.Held), message("C3", "eve", "main", envelope.Failed))
			c, _ := start(t, Config{Queue: q})
			got, err := c.Act(t.Context(), tc.action, tc.sel)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&Changed{tc.changed, tc.missing}, got); d != "" || states(q) != tc.want {
				t.Errorf("%s %s", states(q), d)
			}
		})
	}
}

func TestActOnManyPages(t *testing.T) {
	q := newFake()
	for i := range 2*maxPage + 5 {
		m := message(fmt.Sprintf("M%06d", i), "ann", "main", envelope.Queued)
		q.messages[m.ID] = &m
	}
	c, _ := start(t, Config{Queue: q})
	got, err := c.Act(t.Context(), Hold, Selection{All: true, State: envelope.Queued})
	if err != nil || got.Changed != 2*maxPage+5 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestBadRequests(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	c, _ := start(t, Config{Queue: q})
	for _, tc := range []struct {
		method, path, body string
		status             int
		words              string
	}{
		{"POST", "/api/v1/queue/eat", `{"all":true}`, 400, "no action"},
		{"POST", "/api/v1/queue/hold", `{}`, 400, "no messages"},
		{"POST", "/api/v1/queue/hold", `{"ids":["A1"],"all":true}`, 400, "not both"},
		{"POST", "/api/v1/queue/hold", `{"ids":["A1"],"state":"held"}`, 400, "go with all"},
		{"POST", "/api/v1/queue/hold", `{"all":true,"state":"eaten"}`, 400, "no state"},
		{"POST", "/api/v1/queue/hold", `{"al":true}`, 400, "cannot be read"},
		{"POST", "/api/v1/queue/hold", `{"ids":["` + strings.Repeat("x", maxBody) + `"]}`, 413, "too large"},
		{"GET", "/api/v1/queue?state=sent", "", 400, "no state"},
		{"GET", "/api/v1/queue?limit=many", "", 400, "not a number"},
		{"GET", "/api/v1/log?limit=-1", "", 400, "not a number"},
		{"GET", "/api/v1/log?since=yesterday", "", 400, "RFC 3339"},
		{"GET", "/api/v2", "", 404, "/api/v2"},
		{"POST", "/api/v1/reload", "", 501, "cannot reload"},
	} {
		req, err := http.NewRequest(tc.method, "http://localhost"+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(f.Error, tc.words) {
			t.Errorf("%s %s %.60s: %d %q", tc.method, tc.path, tc.body, resp.StatusCode, f.Error)
		}
	}
}

func TestFailuresOfTheQueue(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
	}{
		{queue.ErrClosed, 503}, {queue.ErrBroken, 503}, {queue.ErrFull, 507}, {queue.ErrNotFound, 404}, {errors.New("odd"), 500},
	} {
		q := newFake(message("A1", "ann", "main", envelope.Queued))
		c, _ := start(t, Config{Queue: q})
		q.err = fmt.Errorf("wrapped: %w", tc.err)
		calls := map[string]func() error{
			"list":   func() error { _, err := c.List(t.Context(), Filter{}); return err },
			"show":   func() error { _, err := c.Show(t.Context(), "A1"); return err },
			"open":   func() error { _, err := c.Open(t.Context(), "A1"); return err },
			"log":    func() error { _, err := c.Log(t.Context(), LogFilter{}); return err },
			"status": func() error { _, err := c.Status(t.Context()); return err },
			"act":    func() error { _, err := c.Act(t.Context(), Hold, Selection{All: true}); return err },
			"act on": func() error { _, err := c.Act(t.Context(), Hold, Selection{IDs: []string{"A1"}}); return err },
		}
		for name, call := range calls {
			var e *Error
			if err := call(); !errors.As(err, &e) || e.Status != tc.status || !strings.Contains(e.Words, tc.err.Error()) {
				t.Errorf("%s %v: %v", name, tc.err, err)
			}
		}
		q.err, q.actErr = nil, tc.err
		for _, sel := range []Selection{{All: true}, {IDs: []string{"A1"}}} {
			var e *Error
			if _, err := c.Act(t.Context(), Hold, sel); !errors.As(err, &e) || e.Status != tc.status {
				t.Errorf("%+v %v: %v", sel, tc.err, err)
			}
		}
	}
	q := newFake()
	q.lanes = nil
	if _, err := (Reader{q}).Status(t.Context()); !errors.Is(err, errLanes) {
		t.Errorf("lanes: %v", err)
	}
}

func TestReload(t *testing.T) {
	var answer error
	c, _ := start(t, Config{Queue: newFake(), Reload: func(context.Context) error { return answer }})
	if err := c.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	answer = errors.New("config.toml:3: unknown key")
	var e *Error
	if err := c.Reload(t.Context()); !errors.As(err, &e) || e.Status != 422 || err.Error() != answer.Error() {
		t.Errorf("%v", err)
	}
}

func TestHealth(t *testing.T) {
	missing := []string{"listener 127.0.0.1:1025 is not open", "store is closed"}
	c, address := start(t, Config{Queue: newFake(), Ready: func() []string { return missing }})
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if status, body := get(t, "http://"+address+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz %d %q", status, body)
	}
	if status, body := get(t, "http://"+address+"/readyz"); status != 503 || body != strings.Join(missing, "\n")+"\n" {
		t.Errorf("readyz %d %q", status, body)
	}
	missing = nil
	if status, body := get(t, "http://"+address+"/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("readyz %d %q", status, body)
	}
	if s, err := c.Status(t.Context()); err != nil || len(s.NotReady) != 0 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	mine := prometheus.NewCounter(prometheus.CounterOpts{Name: "mine_total"})
	reg.MustRegister(mine)
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	q.lanes = map[string]queue.Lane{"main": {Queued: 3}}
	_, address := start(t, Config{Queue: q, Gatherer: reg, Version: "1.2", Status: func() []Upstream { return []Upstream{{Name: "main", InFlight: 5}} }})
	_, body := get(t, "http://"+address+"/metrics")
	for _, want := range []string{"mine_total 0", `mailhatch_build_info{version="1.2"} 1`, `mailhatch_queue_parts{state="queued"} 1`,
		`mailhatch_queue_parts{state="held"} 0`, `mailhatch_queue_bytes{state="queued"} 1000`, `mailhatch_queue_oldest_seconds{state="failed"} 0`,
		`mailhatch_queue_upstream_parts{upstream="main"} 3`, `mailhatch_upstream_in_flight{upstream="main"} 5`} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	q.lanes = nil
	if status, body := get(t, "http://"+address+"/metrics"); status != 200 || !strings.Contains(body, "mine_total 0") {
		t.Errorf("without lanes: %d\n%s", status, body)
	}
	q.err = errors.New("odd")
	if status, body := get(t, "http://"+address+"/metrics"); status != 200 || !strings.Contains(body, "mine_total 0") {
		t.Errorf("without queue: %d\n%s", status, body)
	}
}

// TestPublicOnlyShows asserts what a web page or another user can do by TCP.
func TestPublicOnlyShows(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	c, address := start(t, Config{Queue: q, Reload: func(context.Context) error { t.Error("reloaded"); return nil }})
	_, port, _ := net.SplitHostPort(address)
	for _, tc := range []struct {
		name, method, path, host string
		header                   map[string]string
		status                   int
	}{
		{"by address", "GET", "/api/v1/queue", "", nil, 200},
		{"by name", "GET", "/api/v1/log", "LocalHost:" + port, nil, 200},
		{"IPv6", "GET", "/healthz", "[::1]:" + port, nil, 200},
		{"IPv6 without port", "GET", "/healthz", "[::1]", nil, 200},
		{"HEAD", "HEAD", "/healthz", "", nil, 200},
		{"one message", "GET", "/api/v1/queue/A1", "", nil, 200},
		{"status", "GET", "/api/v1/status", "", nil, 200},
		{"contents", "GET", "/api/v1/queue/A1/message", "", nil, 404},
		{"rebinding", "GET", "/api/v1/queue", "evil.example:" + port, nil, 403},
		{"rebinding, health", "GET", "/healthz", "localhost.evil.example", nil, 403},
		{"other address", "GET", "/metrics", "192.0.2.1", nil, 403},
		{"page", "GET", "/api/v1/queue", "", map[string]string{"Origin": "http://evil.example"}, 403},
		{"page without Origin", "GET", "/api/v1/queue", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"hold", "POST", "/api/v1/queue/hold", "", nil, 403},
		{"reload", "POST", "/api/v1/reload", "", nil, 403},
		{"delete", "DELETE", "/api/v1/queue/A1", "", nil, 403},
	} {
		req, err := http.NewRequest(tc.method, "http://"+address+tc.path, strings.NewReader(`{"all":true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tc.host
		for k, v := range tc.header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s: %d %s", tc.name, resp.StatusCode, body)
		}
		if strings.Contains(string(body), "secret of") {
			t.Errorf("%s shows a subject: %s", tc.name, body)
		}
	}
	if q.messages["A1"].Parts[0].State != envelope.Queued {
		t.Error("held by TCP")
	}
	if m, err := c.Show(t.Context(), "A1"); err != nil || m.Header.Subject != "secret of A1" {
		t.Errorf("the socket shows %+v %v", m, err)
	}
}

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, SocketName)
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("a second listener: %v", err)
	}
	// As after a crash: nobody answers, the file is there.
	if err := first.(*socket).Listener.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err == nil {
		t.Error("closed twice without an error")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("closing the old one took the new one's socket away: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "missing", "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 200))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a name that is too long: %v", err)
	}
}

func TestNotRunning(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := NewClient(filepath.Join(dir, "s"))
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ping(ctx); errors.Is(err, ErrNotRunning) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestOddServers asks servers that are no gateway.
func TestOddServers(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/status":
			fmt.Fprint(w, "<html>")
		case "/api/v1/log":
			http.Error(w, "<html>teapot", http.StatusTeapot)
		default:
			panic(http.ErrAbortHandler)
		}
	})}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	c := NewClient(filepath.Join(dir, "s"))
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "reading the answer") {
		t.Errorf("no JSON: %v", err)
	}
	if _, err := c.Log(t.Context(), LogFilter{Since: day0}); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("teapot: %v", err)
	}
	if _, err := c.List(t.Context(), Filter{}); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("cut off: %v", err)
	}
	c.Close()
	srv.Close()
	<-done
}

// TestStop ends a server whose client does not end its request.
func TestStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	slow := func() []string { close(entered); time.Sleep(50 * time.Millisecond); return nil }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- New(Config{Queue: newFake(), Ready: slow, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	answer := make(chan int)
	go func() {
		status, _ := get(t, "http://"+l.Addr().String()+"/readyz")
		answer <- status
	}()
	<-entered
	stop()
	if status := <-answer; status != 200 {
		t.Errorf("the running request got %d", status)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(Config{Queue: newFake()}).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
