package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds/testdata/postbox"
)

// TestNewKind takes a kind that is one folder and one line in the table through all that knows kinds: the
// questions of init, the config, check, render, delivery and status.
func TestNewKind(t *testing.T) {
	posted := make(chan string, 1)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if _, _ = io.WriteString(w, `{"id":"P1"}`); r.Method == "POST" {
			posted <- r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
		}
	}))
	defer provider.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "c.toml")
	run := func(ctx context.Context, args ...string) (int, string) {
		var out bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out, kinds: []upstream.Kind{postbox.Kind()}}
		code := a.main(ctx, args)
		return code, out.String()
	}
	expect := func(words string, args ...string) {
		t.Helper()
		if code, out := run(t.Context(), args...); code != 0 || !strings.Contains(out, words) {
			t.Fatalf("%q: exit code %d, no %q in\n%s", args, code, words, out)
		}
	}

	t.Setenv("POSTBOX_KEY", "pk_1")
	if code, out := run(t.Context(), "init", "--upstream", "postbox", "--output", file); code != 2 || !strings.Contains(out, "--box is missing") {
		t.Fatalf("%d %s", code, out)
	}
	expect("is written", "init", "--upstream", "postbox", "--box", "b1", "--listen", "127.0.0.1:0", "--state-dir", dir, "--output", file)
	written, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(written), "type = \"postbox\"\nbox = \"b1\"\napi_key = \"env:POSTBOX_KEY\"\n") {
		t.Fatalf("%v\n%s", err, written)
	}
	text := strings.Replace(string(written), "box =", "base_url = '"+provider.URL+"'\nbox =", 1) + "[admin]\naddress = 'off'\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("opens box b1", "-c", file, "check", "--online")
	message := filepath.Join(dir, "mail")
	if err := os.WriteFile(message, []byte("From: a@example.com\n\nhello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("the postbox is painted red", "-c", file, "render", "--to", "b@example.org", message)

	ctx, stop := context.WithCancel(t.Context())
	served := make(chan string, 1)
	go func() {
		_, out := run(ctx, "-c", file, "serve")
		served <- out
	}()
	for code := 1; code != 0 && len(served) == 0; time.Sleep(10 * time.Millisecond) {
		code, _ = run(ctx, "-c", file, "healthcheck")
	}
	expect("postbox", "-c", file, "status")
	expect("", "-c", file, "send", "--from", "a@example.com", "--to", "b@example.org", "-s", "hello", "text")
	select {
	case got := <-posted:
		if !strings.HasPrefix(got, "/b1 Bearer pk_1 {") || !strings.Contains(got, "b@example.org") {
			t.Error(got)
		}
	case out := <-served:
		t.Fatal(out)
	case <-time.After(time.Minute):
		t.Error("nothing was sent")
	}
	stop()
	<-served
}
