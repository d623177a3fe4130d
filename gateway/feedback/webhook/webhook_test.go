package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/feedback/webhook"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/upstream"
)

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// serve runs a server and returns its URL.
func serve(t *testing.T, take func(ctx context.Context, name string, h http.Header, body []byte) error) (url string, log *lines) {
	t.Helper()
	log = &lines{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	s := webhook.New(webhook.Config{Take: take, Journal: journal.New(logger, meter.NewRegistry()), Log: logger})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String(), log
}

func ask(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestAnswers(t *testing.T) {
	url, log := serve(t, func(_ context.Context, name string, h http.Header, body []byte) error {
		switch {
		case name != "main":
			return webhook.ErrUnknown
		case strings.HasPrefix(string(body), "forged"):
			return upstream.ErrSignature
		case strings.HasPrefix(string(body), "garbage"):
			return upstream.ErrEvents
		case strings.HasPrefix(string(body), "full"):
			return errors.New("no space left")
		case h.Get("Content-Type") == "":
			return nil
		}
		return errors.New("odd")
	})
	large := strings.Repeat("x", upstream.MaxEventBytes)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/events/main", "secret-in-the-body", 200},
		{"POST", "/events/main", large, 200},
		{"POST", "/events/main", large + "x", 413},
		{"POST", "/events/main", "forged secret-in-the-body", 401},
		{"POST", "/events/main", "garbage secret-in-the-body", 400},
		{"POST", "/events/main", "full secret-in-the-body", 503},
		{"POST", "/events/none", "x", 404},
		{"POST", "/events/", "x", 404},
		{"POST", "/events/main/x", "x", 404},
		{"GET", "/events/main", "", 405},
		{"GET", "/", "", 404},
	} {
		resp, text := ask(t, c.method, url+c.path, c.body)
		if resp.StatusCode != c.want || strings.Contains(text, "secret-in-the-body") {
			t.Errorf("%s %s %.20s: %d %q, want %d", c.method, c.path, c.body, resp.StatusCode, text, c.want)
		}
		if again := resp.Header.Get("Retry-After"); (c.want == 503) != (again != "") {
			t.Errorf("%s: Retry-After %q", c.body, again)
		}
	}
	for range 50 {
		ask(t, "POST", url+"/events/main", "forged")
	}
	text := log.String()
	if strings.Contains(text, "secret-in-the-body") || strings.Count(text, "msg=events_refused upstream=main") != 1 || strings.Count(text, "events_refused") != 2 {
		t.Errorf("log:\n%s", text)
	}
}

// TestTLS: the address speaks it where it is to.
func TestTLS(t *testing.T) {
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	defer lender.Close()
	logger := slog.New(slog.DiscardHandler)
	s := webhook.New(webhook.Config{Take: func(context.Context, string, http.Header, []byte) error { return nil }, Journal: journal.New(logger, meter.NewRegistry()),
		Log: logger, TLS: lender.TLS})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	resp, err := lender.Client().Post("https://"+l.Addr().String()+"/events/main", "", strings.NewReader("x"))
	if err != nil || resp.StatusCode != 200 {
		t.Error(resp, err)
	} else {
		_ = resp.Body.Close()
	}
	lender.Client().CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := l.Close(); err == nil {
		t.Error("the listener was left open")
	}
	if err := s.Serve(context.Background(), l); err == nil {
		t.Error("a listener that is closed: no error")
	}
}

// TestSlowClients: those who send nothing keep nobody out.
func TestSlowClients(t *testing.T) {
	url, _ := serve(t, func(context.Context, string, http.Header, []byte) error { return nil })
	for range 100 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "POST /events/main HTTP/1.1\r\nHost: x\r\n")
	}
	if resp, _ := ask(t, "POST", url+"/events/main", "x"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// TestAtOnce: only some requests are judged at once, and all of them are answered.
func TestAtOnce(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	url, _ := serve(t, func(context.Context, string, http.Header, []byte) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	})
	var work sync.WaitGroup
	for range 30 {
		work.Go(func() {
			resp, err := http.Post(url+"/events/main", "", strings.NewReader("x"))
			if err != nil || resp.StatusCode != 200 {
				t.Error(resp, err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	work.Wait()
	if most == 0 || most > 4 {
		t.Errorf("%d at once", most)
	}
}
