package admin

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
)

// TestPage: a link of the socket opens the page at the address, once, and with it the API.
func TestPage(t *testing.T) {
	var address string
	var off error
	c, address := start(t, Config{Queue: newFake(message("A1", "ann", "main", envelope.Queued)), Access: access.New(access.Config{}),
		URL:  func() (string, error) { return "http://" + address, off },
		Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })})
	link, err := c.Link(t.Context())
	if err != nil || !strings.HasPrefix(link.URL, "http://"+address+"/login?token=") || time.Until(link.Ends) > access.LinkLifetime {
		t.Fatal(link, err)
	}
	if status, body := get(t, "http://"+address+"/"); status != http.StatusForbidden || strings.Contains(body, "secret") {
		t.Errorf("without a link: %d %s", status, body)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()
	for _, tc := range []struct {
		url    string
		status int
		shows  string
	}{
		{link.URL, 200, "secret"},
		{link.URL, 403, "not good any longer"},
		{"http://" + address + "/messages", 200, "secret"},
		{"http://" + address + "/api/v1/queue", 200, "ann"},
		{"http://" + address + "/api/v1/queue/A1/message", 200, ""},
		{"http://" + address + "/api/v1/nothing", 404, "there is no"},
		{"http://" + address + "/healthz", 200, "ok"},
	} {
		resp, err := browser.Get(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(b), tc.shows) {
			t.Errorf("%s: %s %s %v", tc.url, resp.Status, b, err)
		}
	}
	resp, err := browser.Post("http://"+address+"/api/v1/queue/delete", "application/json", strings.NewReader(`{"all":true}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a change without the token of the session: %s", resp.Status)
	}
	off = errors.New("the page is off")
	var e *api.Error
	if _, err := c.Link(t.Context()); !errors.As(err, &e) || e.Status != http.StatusConflict || err.Error() != off.Error() {
		t.Error(err)
	}
}

func TestNoPage(t *testing.T) {
	c, address := start(t, Config{Queue: newFake()})
	var e *api.Error
	if _, err := c.Link(t.Context()); !errors.As(err, &e) || e.Status != http.StatusNotImplemented {
		t.Error(err)
	}
	if status, _ := get(t, "http://"+address+"/"); status != http.StatusNotFound {
		t.Error(status)
	}
}

// TestTunnel: a browser that a tunnel leads to the socket gets nothing.
func TestTunnel(t *testing.T) {
	c, _ := start(t, Config{Queue: newFake()})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/api/v1/queue/delete", strings.NewReader(`{"all":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://localhost:8025")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
}
