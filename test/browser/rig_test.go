// Package browser tests the page as people see it: a gateway on loopback, and Chromium without a window. Without Chromium the
// tests are skipped; .ci/run installs it.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"mailhatch/gateway"
	"mailhatch/gateway/config"
	"mailhatch/test/freeport"
	"mailhatch/upstream/kinds"
)

// patience is how long is waited for anything; a slow machine takes its time.
const patience = time.Minute

// house is a gateway with an upstream that works and one that does what a test wants.
type house struct {
	t        *testing.T
	g        *gateway.Gateway
	smtp     string // address
	base     string // of the page, without a final slash
	provider *provider
	wall     func() time.Time // the time of day; nil: that of this machine
}

// provider is an API whose answer a test chooses.
type provider struct {
	status atomic.Int32
	calls  atomic.Int32
}

// ServeHTTP answers as Resend does.
func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := p.calls.Add(1)
	w.Header().Set("Content-Type", "application/json")
	status := int(p.status.Load())
	w.WriteHeader(status)
	if status == http.StatusOK {
		fmt.Fprintf(w, `{"id":"re_%d"}`, n)
		return
	}
	words := "The mailbox is on holiday."
	if status == http.StatusUnauthorized {
		words = "API key is invalid"
	}
	fmt.Fprintf(w, `{"statusCode":%d,"name":"validation_error","message":%q}`, status, words)
}

const text = `
hostname = "mail.example.com"
state_dir = %q
[[listener]]
address = "127.0.0.1:0"
[upstream.main]
type = "memory"
[upstream.bulk]
type = "resend"
api_key = "re_test_SECRETVALUE"
base_url = %q
[[route]]
name = "drafts"
to = ["*@drafts.example.net"]
hold = true
[[route]]
name = "newsletter"
from = ["news@*"]
via = ["bulk"]
[[route]]
via = ["main"]
[queue]
on_failure = "keep"
[admin]
address = %q
`

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseAt(t, nil)
}

// newHouseAt is newHouse with another time of day.
func newHouseAt(t *testing.T, wall func() time.Time) *house {
	t.Helper()
	h := &house{t: t, provider: &provider{}, wall: wall}
	h.provider.status.Store(http.StatusOK)
	server := httptest.NewServer(h.provider)
	t.Cleanup(server.Close)
	dir, admin := t.TempDir(), freeport.Addr(t)
	file := filepath.Join(dir, "mailhatch.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, text, filepath.Join(dir, "state"), server.URL, admin), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	h.run(cfg)
	return h
}

// newCatcher is a gateway without a config.
func newCatcher(t *testing.T) *house {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	cfg, err := config.Load("", config.Options{Kinds: kinds.Kinds(), Version: "test", Stdout: &strings.Builder{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listeners[0].Address, cfg.Admin.Address = "127.0.0.1:0", freeport.Addr(t)
	h := &house{t: t}
	h.run(cfg)
	return h
}

// run starts the gateway.
func (h *house) run(cfg *config.Config) {
	t := h.t
	t.Helper()
	var log lines
	g, err := gateway.New(t.Context(), cfg, gateway.Options{Version: "1.0.0", Kinds: kinds.Kinds(), Stdout: &log, Wall: h.wall, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.Run(ctx, func() { close(started) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
		if t.Failed() {
			text := log.String()
			t.Logf("the end of the log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	select {
	case <-started:
	case <-time.After(patience):
		t.Fatalf("the gateway does not start:\n%s", log.String())
	}
	h.g, h.smtp, h.base = g, g.Addrs()[0].String(), "http://"+cfg.Admin.Address
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// send hands a message over.
func (h *house) send(from, subject string, to ...string) {
	h.t.Helper()
	h.sendAs(from, to, "Subject: "+subject+"\r\nFrom: "+from+"\r\nTo: "+strings.Join(to, ", ")+"\r\n\r\nHello, see https://example.com/a.\r\n")
}

func (h *house) sendAs(from string, to []string, message string) {
	h.t.Helper()
	if err := smtp.SendMail(h.smtp, nil, from, to, []byte(message)); err != nil {
		h.t.Fatal(err)
	}
}

// tab is a tab of the browser that has opened the page.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
}

// chromium starts the browser for a test and those within it.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // it refuses to run as root with it
	}
	allocator, closeAllocator := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	t.Cleanup(closeAllocator)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Skipf("Chromium does not start here: %v", err)
	}
	return browser
}

// open opens the page of a house by a link.
func (h *house) open(browser context.Context) *tab {
	h.t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	h.t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		h.t.Fatal(err)
	}
	b := &tab{h.t, ctx, h.base}
	link, err := h.g.PageLink("ann")
	if err != nil {
		h.t.Fatal(err)
	}
	b.must(chromedp.Navigate(link.URL))
	return b
}

// must does steps.
func (b *tab) must(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\nthe page is %s", err, b.describe())
	}
}

func (b *tab) visit(path string) { b.t.Helper(); b.must(chromedp.Navigate(b.base + path)) }

// describe returns where the tab is and what it shows, for failures.
func (b *tab) describe() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return s
}

// js evaluates an expression in the page.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until an expression is true, over navigations.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s (%v)\nthe page is %s", what, err, b.describe())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// press presses a key that has a character, as a keyboard does: the page may keep it from being written.
func (b *tab) press(key string) {
	b.t.Helper()
	for _, event := range []input.DispatchKeyEventParams{{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key}, {Type: input.DispatchKeyEventTypeKeyUp, Key: key}} {
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, event); err != nil {
			b.t.Fatal(err)
		}
	}
}

// shows waits for a text within an element.
func (b *tab) shows(selector, text string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%q in %s", text, selector), fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.textContent.replace(/\s+/g, " ").includes(%s))`, quote(selector), quote(text)))
}

// click clicks the element that has a text.
func (b *tab) click(selector, text string) {
	b.t.Helper()
	b.shows(selector, text)
	js[bool](b, fmt.Sprintf(`[...document.querySelectorAll(%s)].find(e => e.textContent.includes(%s)).click() || true`, quote(selector), quote(text)))
}

// at waits for an address.
func (b *tab) at(path string) {
	b.t.Helper()
	b.await(path, fmt.Sprintf(`document.readyState === "complete" && (location.pathname + location.search).startsWith(%s)`, quote(path)))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// media sets what the person behind the browser prefers.
func (b *tab) media(features ...string) {
	b.t.Helper()
	var list []*emulation.MediaFeature
	for _, f := range features {
		name, value, _ := strings.Cut(f, "=")
		list = append(list, &emulation.MediaFeature{Name: name, Value: value})
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: list}); err != nil {
		b.t.Fatal(err)
	}
}

// size sets the size of the window.
func (b *tab) size(width, height int64, phone bool) {
	b.t.Helper()
	scale := 1.0
	if phone {
		scale = 2
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale, Mobile: phone}); err != nil {
		b.t.Fatal(err)
	}
}
