package gateway

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/test/freeport"
)

// sharedMetrics are those of a shared queue.
func sharedMetrics(t *testing.T) (names []string) {
	t.Helper()
	source, err := os.ReadFile("admin/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`gauge\("(database_\w+)"`).FindAllStringSubmatch(string(source), -1) {
		names = append(names, "mailhatch_"+m[1])
	}
	return names
}

// TestDocumented: every metric and every event is in doc/operations.md, and nothing else is.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../doc/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	reg := meter.NewRegistry()
	journal.New(nil, reg)
	names := slices.Concat(reg.Names(), adminMetrics(t), sharedMetrics(t))
	if len(names) < 20 {
		t.Fatalf("only %d metrics found: %q", len(names), names)
	}
	for _, name := range names {
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("metric %s is not in doc/operations.md", name)
		}
	}
	for _, m := range regexp.MustCompile("`(mailhatch_[a-z_]+)`").FindAllStringSubmatch(doc, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("doc/operations.md names %s, which is no metric", m[1])
		}
	}
	source, err := os.ReadFile("journal/journal.go")
	if err != nil {
		t.Fatal(err)
	}
	events := regexp.MustCompile(`j\.write\((?:slog\.L|l)evel\w*, "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(events) < 10 {
		t.Fatalf("only %d events found", len(events))
	}
	for _, e := range events {
		if !strings.Contains(doc, "`"+e[1]+"`") {
			t.Errorf("event %s is not in doc/operations.md", e[1])
		}
	}
}

// adminMetrics returns the names of mailhatch's metrics that a running gateway shows.
func adminMetrics(t *testing.T) []string {
	t.Helper()
	h, _ := resendHouse(t, "")
	admin := freeport.Addr(t)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.adminAddr = admin
	_, upstreams := tokenUpstream(t, time.Hour)
	upstreams = strings.Replace(upstreams, "port =", "quota = \"5/d\"\nport =", 1)
	h.write(upstreams) // nothing listens there: the mail stays queued
	h.start()
	h.await("a token", func() bool { return !h.expiry("token").At.IsZero() })
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the admin server", func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (mailhatch_\w+) `).FindAllStringSubmatch(string(b), -1) {
		names = append(names, m[1])
	}
	return names
}
