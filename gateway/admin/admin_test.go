package admin

import (
	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/admin/api"

	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/backoff"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves cfg on a socket and a TCP port for as long as the test runs.
func start(t *testing.T, cfg Config) (c *api.Client, address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh") // short: socket paths are limited to about 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, sock.Name)
	socket, err := sock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	var group errgroup.Group
	server := New(cfg)
	for _, l := range []net.Listener{socket, tcp} {
		group.Go(func() error { return server.Serve(ctx, l) })
	}
	go func() { done <- group.Wait() }()
	c = api.NewClient(path)
	c.HTTP.Transport = described{t, c.HTTP.Transport}
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
	resp, err := (&http.Client{Transport: described{t, http.DefaultTransport}}).Get(url)
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

func TestReload(t *testing.T) {
	var answer error
	c, _ := start(t, Config{Queue: newFake(), Reload: func(context.Context) ([]string, error) { return []string{"state_dir needs a restart"}, answer }})
	if r, err := c.Reload(t.Context()); err != nil || len(r.Notes) != 1 || r.Notes[0] != "state_dir needs a restart" {
		t.Error(r, err)
	}
	answer = errors.New("config.toml:3: unknown key")
	var e *api.Error
	if _, err := c.Reload(t.Context()); !errors.As(err, &e) || e.Status != 422 || err.Error() != answer.Error() {
		t.Errorf("%v", err)
	}
}

func TestHealth(t *testing.T) {
	missing := []string{"listener 127.0.0.1:1025 is not open", "store is closed"}
	var silent []string
	c, address := start(t, Config{Queue: newFake(), Ready: func() []string { return missing }, Silent: func() []string { return silent }})
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if status, body := get(t, "http://"+address+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz %d %q", status, body)
	}
	if status, body := get(t, "http://"+address+"/readyz"); status != 503 || body != strings.Join(missing, "\n")+"\n" {
		t.Errorf("readyz %d %q", status, body)
	}
	if err := c.Ready(t.Context()); err == nil || err.Error() != "not ready: "+strings.Join(missing, "; ") {
		t.Errorf("Ready: %v", err)
	}
	missing = nil
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	silent = []string{"listener 127.0.0.1:1025 does not answer: no greeting"}
	if status, body := get(t, "http://"+address+"/healthz"); status != 503 || body != silent[0]+"\n" {
		t.Errorf("healthz %d %q", status, body)
	}
	if err := c.Healthy(t.Context()); err == nil || err.Error() != "not ready: "+silent[0] {
		t.Errorf("Healthy: %v", err)
	}
	if err := c.Ping(t.Context()); err != nil { // commands still work
		t.Error(err)
	}
	if status, body := get(t, "http://"+address+"/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("readyz %d %q", status, body)
	}
	if s, err := c.Status(t.Context()); err != nil || len(s.NotReady) != 0 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestMetrics(t *testing.T) {
	reg := meter.NewRegistry()
	mine := meter.NewCounter("mine_total", "Mine.")
	reg.Add(mine)
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	q.lanes = map[string]queue.Lane{"main": {Queued: 3}}
	q.database = &queue.DatabaseHealth{Tables: []queue.TableHealth{{Name: "bodies", Live: 1, Dead: 7, Bytes: 8192}}, Snapshot: time.Minute, Claim: time.Second / 2}
	_, address := start(t, Config{Queue: q, Metrics: reg, Version: "1.2", Status: func() []api.Upstream {
		now := time.Now()
		return []api.Upstream{{Name: "main", InFlight: 5, Expiries: []api.Expiry{{Name: "token", Since: now.Add(time.Hour), At: now.Add(-time.Hour)},
			{Name: "certificate", At: now.Add(time.Hour)}}}, {Name: "none", Expiries: []api.Expiry{{Name: "token", Error: "refused"}}}}
	}})
	_, body := get(t, "http://"+address+"/metrics")
	for _, want := range []string{"mine_total 0", `mailhatch_build_info{version="1.2"} 1`, `mailhatch_queue_parts{state="queued"} 1`,
		`mailhatch_queue_parts{state="held"} 0`, `mailhatch_queue_bytes{state="queued"} 1000`, `mailhatch_queue_oldest_seconds{state="failed"} 0`,
		`mailhatch_queue_upstream_parts{upstream="main"} 3`, `mailhatch_upstream_in_flight{upstream="main"} 5`,
		`mailhatch_upstream_token_age_seconds{upstream="main"} 0`, `mailhatch_database_dead_rows{table="bodies"} 7`,
		`mailhatch_database_bytes{table="bodies"} 8192`, "mailhatch_database_snapshot_seconds 60", "mailhatch_database_claim_seconds 0.5"} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	for _, want := range []string{`(?m)^mailhatch_upstream_token_expires_seconds{upstream="main"} -36\d\d`, `(?m)^mailhatch_upstream_certificate_expires_seconds{upstream="main"} 3\d\d\d`} {
		if !regexp.MustCompile(want).MatchString(body) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if strings.Contains(body, `token_expires_seconds{upstream="none"}`) {
		t.Error("a token that is not there ends")
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

// token is one of a config.
const token = "0123456789abcdef"

// TestPublic asserts what a web page, another user or a program with the token gets by TCP.
func TestPublic(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	q.history = []queue.Record{{ID: "B2", From: "app@example.com", Recipient: envelope.Recipient{Address: "ben@example.org"}, State: envelope.Sent}}
	known := ""
	c, address := start(t, Config{Queue: q, Access: access.New(access.Config{Guard: backoff.New(1, nil), Token: func() upstream.Secret { return upstream.NewSecret(known) }}),
		Status: func() []api.Upstream {
			return []api.Upstream{{Name: "main", LastError: "550 ann@example.org is unknown"}}
		},
		Ready:  func() []string { return []string{"upstream main is closed (account)"} },
		Memory: func(string) ([]api.Kept, bool) { return []api.Kept{{From: "app@example.com"}}, true },
		Reload: func(context.Context) ([]string, error) { t.Error("reloaded"); return nil, nil }})
	_, port, _ := net.SplitHostPort(address)
	const none, right, wrong = "", "bearer " + token, "Bearer 0123456789abcdeg"
	for _, tc := range []struct {
		name, method, path, host string
		header                   map[string]string
		status                   [4]int // no token in the config; one, and the client has none, a wrong one, the right one
	}{
		{"health", "GET", "/healthz", "", nil, [4]int{200, 200, 200, 200}},
		{"readiness", "GET", "/readyz", "", nil, [4]int{503, 503, 503, 503}},
		{"metrics", "GET", "/metrics", "", nil, [4]int{200, 200, 200, 200}},
		{"IPv6", "GET", "/healthz", "[::1]:" + port, nil, [4]int{200, 200, 200, 200}},
		{"IPv6 without port", "GET", "/healthz", "[::1]", nil, [4]int{200, 200, 200, 200}},
		{"HEAD", "HEAD", "/healthz", "", nil, [4]int{200, 200, 200, 200}},
		{"queue", "GET", "/api/v1/queue", "", nil, [4]int{403, 401, 401, 200}},
		{"HEAD of the queue", "HEAD", "/api/v1/queue", "", nil, [4]int{403, 401, 401, 200}},
		{"log", "GET", "/api/v1/log", "LocalHost:" + port, nil, [4]int{403, 401, 401, 200}},
		{"one message", "GET", "/api/v1/queue/A1", "", nil, [4]int{403, 401, 401, 200}},
		{"status", "GET", "/api/v1/status", "", nil, [4]int{403, 401, 401, 200}},
		{"contents", "GET", "/api/v1/queue/A1/message", "", nil, [4]int{403, 401, 401, 403}},
		{"memory", "GET", "/api/v1/memory/main", "", nil, [4]int{403, 401, 401, 403}},
		{"what is not there", "GET", "/api/v2", "", nil, [4]int{403, 401, 401, 404}},
		{"another path", "GET", "//api/v1/queue", "", nil, [4]int{307, 307, 307, 307}},
		{"a path that leads there", "GET", "/x/../api/v1/queue", "", nil, [4]int{307, 307, 307, 307}},
		{"rebinding", "GET", "/api/v1/queue", "evil.example:" + port, nil, [4]int{403, 403, 403, 403}},
		{"rebinding, health", "GET", "/healthz", "localhost.evil.example", nil, [4]int{403, 403, 403, 403}},
		{"other address", "GET", "/metrics", "192.0.2.1", nil, [4]int{403, 403, 403, 403}},
		{"page", "GET", "/api/v1/queue", "", map[string]string{"Origin": "http://evil.example"}, [4]int{403, 403, 403, 403}},
		{"page without Origin", "GET", "/api/v1/queue", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, [4]int{403, 403, 403, 403}},
		{"a page that holds", "POST", "/api/v1/queue/hold", "", map[string]string{"Origin": "http://evil.example"}, [4]int{403, 403, 403, 403}},
		{"retry", "POST", "/api/v1/queue/retry", "", nil, [4]int{403, 401, 401, 200}},
		{"reload", "POST", "/api/v1/reload", "", nil, [4]int{403, 401, 401, 403}},
		{"a link to the page", "POST", "/api/v1/page", "", nil, [4]int{403, 401, 401, 403}},
		{"a login", "POST", "/api/v1/login/main", "", nil, [4]int{403, 401, 401, 403}},
		{"what no method does", "DELETE", "/api/v1/queue/A1", "", nil, [4]int{403, 401, 401, 404}},
	} {
		for i, has := range []string{none, none, wrong, right} {
			if known = ""; i > 0 {
				known = token
			}
			status, body := ask(t, tc.method, "http://"+address+tc.path, tc.host, has, tc.header)
			if status != tc.status[i] {
				t.Errorf("%s, %d: %d %s", tc.name, i, status, body)
			}
			if i < 3 && (strings.Contains(body, "@") || strings.Contains(body, "secret of")) {
				t.Errorf("%s, %d: shows %s", tc.name, i, body)
			}
		}
	}
	if q.messages["A1"].Parts[0].State != envelope.Queued {
		t.Error("held by TCP")
	}
	if m, err := c.Show(t.Context(), "A1"); err != nil || m.Header.Subject != "secret of A1" {
		t.Errorf("the socket shows %+v %v", m, err)
	}
}

// Wrong tokens are on record and answered at a pace; the right one passes meanwhile.
func TestGuessedTokens(t *testing.T) {
	var guessed []string
	_, address := start(t, Config{Queue: newFake(), Access: access.New(access.Config{Guard: backoff.New(time.Hour, nil), Guessed: func(client string) { guessed = append(guessed, client) },
		Token: func() upstream.Secret { return upstream.NewSecret(token) }})})
	for i, tc := range []struct {
		authorization string
		status        int
	}{{"", 401}, {"Bearer wrong", 401}, {"Bearer wrong", 429}, {"", 401}, {"Bearer " + token, 200}, {"Basic wrong", 429}} {
		if status, _ := ask(t, "GET", "http://"+address+"/api/v1/queue", "", tc.authorization, nil); status != tc.status {
			t.Errorf("%d, %q: %d, want %d", i, tc.authorization, status, tc.status)
		}
	}
	if len(guessed) != 1 || guessed[0] != "127.0.0.1" {
		t.Errorf("on record: %q", guessed)
	}
}

// ask makes a request and returns the answer; redirections are not followed.
func ask(t *testing.T, method, url, host, authorization string, header map[string]string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(`{"all":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for k, v := range header {
		req.Header.Set(k, v)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := described{t, http.DefaultTransport}.RoundTrip(req)
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

// TestStop ends a server while a request runs.
func TestStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	slow := func() []string { close(entered); <-ctx.Done(); return nil }
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
