package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

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

// TestOddServers asks servers that are not gateways.
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
	if _, err := c.Log(t.Context(), LogFilter{Since: time.Unix(0, 0)}); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("teapot: %v", err)
	}
	if _, err := c.List(t.Context(), Filter{}); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("cut off: %v", err)
	}
	c.Close()
	srv.Close()
	<-done
}

func TestRateText(t *testing.T) {
	for rate, want := range map[float64]string{0: "", 2: "2/s", 2.5: "2.5/s", 2.0 / 60: "2/m", 100.0 / 60: "100/m", 1000.0 / 3600: "1000/h", 20000.0 / 86400: "20000/d", 0.3 / 86400: "3.472e-06/s"} {
		if got := (&Upstream{Rate: rate}).RateText(); got != want {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
}
