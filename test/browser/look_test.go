package browser

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var pictures = flag.String("screenshots", "", "folder for screenshots of the page, light, dark and on a phone")

// furnish fills a house with mail of each state and returns its screens.
func furnish(h *house) map[string]string {
	for i := range 3 {
		h.send("shop@example.com", []string{"Your order 4711 has shipped", "Welcome to Example", "Grüße aus München"}[i], "bob@example.org", "ann@example.org")
	}
	h.send("shop@example.com", "Offer for the spring", "eva@drafts.example.net")
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("reader%02d@example.org", i))
	}
	h.send("shop@example.com", "To many", many...)
	h.provider.status.Store(422)
	h.send("news@example.com", "News of October", "nobody@example.org")
	return map[string]string{"overview": "/overview", "messages": "/messages", "upstreams": "/upstreams", "routes": "/routes", "suppressed": "/suppressed", "config": "/config",
		"found": "/messages?q=state:held", "nothing": "/messages?q=to:nobody@nowhere", "wrong": "/messages?q=tow:x", "missing": "/messages/XYZ"}
}

// axe finds the checker of accessibility, a file of npm's axe-core.
func axe(t *testing.T) string {
	t.Helper()
	for _, place := range []string{os.Getenv("MAILHATCH_AXE"), "/usr/lib/node_modules/axe-core/axe.min.js", "/usr/local/lib/node_modules/axe-core/axe.min.js", "/usr/share/nodejs/axe-core/axe.min.js"} {
		if b, err := os.ReadFile(place); place != "" && err == nil {
			return string(b)
		}
	}
	t.Skip("no axe-core on this machine (npm install -g axe-core)")
	return ""
}

// accessible: axe-core finds no serious fault on any screen, in light and in dark.
func accessible(t *testing.T, browser context.Context) {
	checker := axe(t)
	h := newHouse(t)
	screens := furnish(h)
	b := h.open(browser)
	b.visit("/messages?q=state:held")
	b.shows("#rows", "Offer for the spring")
	id := js[string](b, `document.querySelector("#rows input").value`)
	b.visit("/messages?q=subject:many")
	b.shows("#rows", "To many")
	screens["many"] = js[string](b, `document.querySelector(".subject a").getAttribute("href")`)
	for name, path := range map[string]string{"message": "/messages/" + id, "html": "/messages/" + id + "?tab=headers", "text": "/messages/" + id + "?tab=text", "files": "/messages/" + id + "?tab=files",
		"again": "/messages/" + id + "/again", "confirm": "/act?do=release&id=" + id, "target": "/act?do=move&id=" + id, "pause": "/upstreams/bulk/pause", "paused": "/upstreams?did=pause-bulk",
		"tried": "/routes?to=bob@example.org", "HTML": "/messages/" + id + "?tab=html", "delete": "/act?do=delete&q=state:held", "unknown": "/messages?q=upstream:nope"} {
		screens[name] = path
	}
	for name, path := range screens {
		b.visit(path)
		js[bool](b, checker+"; true")
		for _, scheme := range []string{"light", "dark"} {
			b.media("prefers-color-scheme="+scheme, "prefers-reduced-motion=reduce")
			faults := js[[]string](b, `axe.run({resultTypes: ["violations"]}).then(r => r.violations.filter(v => v.impact === "serious" || v.impact === "critical")
				.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html.slice(0, 200) + " " + n.any.map(a => a.message).join(" ")).slice(0, 3).join(" | ")))`)
			for _, f := range faults {
				t.Errorf("%s in %s: %s", name, scheme, f)
			}
		}
	}
}

// budget: the first view of a screen is three requests and less than 30 kB.
func budget(t *testing.T, browser context.Context) {
	h := newHouse(t)
	for range 60 {
		h.send("shop@example.com", "Your order 4711 has shipped", "bob@example.org")
	}
	b := h.open(browser)
	var mu sync.Mutex
	requests, size := map[network.RequestID]string{}, 0.0
	if err := chromedp.Listen(b.ctx, func(e any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "data:") && !strings.Contains(e.Request.URL, "/live?") {
				requests[e.RequestID] = e.Request.URL
			}
		case *network.EventLoadingFinished:
			if requests[e.RequestID] != "" {
				size += e.EncodedDataLength
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/overview", "/messages", "/upstreams", "/config", "/routes"} {
		b.visit("/nowhere") // what the start has loaded counts for nothing
		mu.Lock()
		clear(requests)
		size = 0
		mu.Unlock()
		b.visit(path)
		b.await("the end of loading", `document.readyState === "complete"`)
		mu.Lock()
		t.Logf("%s: %d requests, %.0f bytes", path, len(requests), size)
		if len(requests) != 3 || size == 0 || size > 30<<10 {
			t.Errorf("%s: %.0f bytes in %d requests: %v", path, size, len(requests), requests)
		}
		mu.Unlock()
	}
	for name, most := range map[string]int64{"style.css": 12 << 10, "script.js": 8 << 10} {
		info, err := os.Stat(filepath.Join("../../gateway/admin/page", name))
		if err != nil || info.Size() > most {
			t.Errorf("%s has %d bytes, %v", name, info.Size(), err)
		}
	}
}

// screenshots makes the pictures of the documentation.
func screenshots(t *testing.T, browser context.Context) {
	if *pictures == "" {
		t.Skip("made with -screenshots FOLDER")
	}
	// The mail of an hour that ends now.
	var back atomic.Int64
	back.Store(int64(58 * time.Minute))
	h := newHouseAt(t, func() time.Time { return time.Now().Add(-time.Duration(back.Load())) })
	subjects := []string{"Your order 4711 has shipped", "Reset your password", "Invoice for November", "New sign-in from Lisbon", "Welcome to Example", "Disk usage on db2 is at 91 %", "Grüße aus München", "Weekly report"}
	people := []string{"ann", "bob", "carla", "dmitri", "eva", "farid", "greta", "hiro"}
	for i := 0; back.Load() > 0; i++ {
		from := []string{"shop@example.com", "root@app1.example.com", "noreply@example.com"}[i*i%3]
		if i%9 == 4 {
			from = "news@example.com"
		}
		to := people[i*5%8] + "@example.org"
		if i == 40 || i > 200 && i%50 == 0 {
			to = people[i%8] + "@drafts.example.net"
		}
		if back.Load() < int64(4*time.Minute) {
			h.provider.status.Store(http.StatusUnauthorized)
		}
		h.send(from, subjects[i*7%8], to)
		back.Add(-int64(time.Duration(4+i*i%13) * time.Second))
	}
	back.Store(0)
	screens := map[string]string{"overview": "/overview", "messages": "/messages"}
	b := h.open(browser)
	for _, look := range []struct {
		name, scheme, screen string
		width, height        int64
		phone                bool
	}{
		{"page-overview", "light", "overview", 1180, 780, false}, {"page-messages-dark", "dark", "messages", 1180, 620, false},
		{"page-messages-phone", "light", "messages", 390, 780, true}, {"page-message", "light", "message", 1180, 560, false},
	} {
		if look.screen == "message" {
			screens["message"] = h.sendMany(b)
		}
		b.size(look.width, look.height, look.phone)
		b.media("prefers-color-scheme=" + look.scheme)
		b.visit(screens[look.screen])
		b.await("the end of loading", `document.readyState === "complete"`)
		r, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		if err != nil {
			t.Fatal(err)
		}
		small, err := shrunk([]byte(r.Data))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*pictures, look.name+".png"), small, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// sendMany sends a message to many and returns where it is shown.
func (h *house) sendMany(b *tab) string {
	h.t.Helper()
	to := []string{"eva@drafts.example.net"}
	for i := range 240 {
		to = append(to, fmt.Sprintf("reader%03d@example.org", i))
	}
	h.send("shop@example.com", "November at Example", to...)
	b.visit("/messages?q=November")
	b.await("the mail to be sent", `document.querySelector("#rows")?.textContent.includes("sent 200") ? true : (location.reload(), false)`)
	return js[string](b, `document.querySelector(".subject a").getAttribute("href")`)
}

// shrunk is a PNG in its most frequent 256 colours: a page has few, and letters with their soft edges need no more.
func shrunk(b []byte) ([]byte, error) {
	in, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	counts := map[color.Color]int{}
	for y := range in.Bounds().Dy() {
		for x := range in.Bounds().Dx() {
			counts[in.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] })
	var palette color.Palette // without those that nobody tells from one before them
	for _, c := range colours {
		if len(palette) < 256 && (len(palette) == 0 || !alike(palette[palette.Index(c)], c)) {
			palette = append(palette, c)
		}
	}
	nearest := map[color.Color]uint8{}
	out := image.NewPaletted(in.Bounds(), palette)
	for y := range in.Bounds().Dy() {
		for x := range in.Bounds().Dx() {
			c := in.At(x, y)
			i, known := nearest[c]
			if !known {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var small bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, out)
	return small.Bytes(), err
}

func alike(a, b color.Color) bool {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	far := func(x, y uint32) uint32 { return max(x, y) - min(x, y) }
	return far(r1, r2)+far(g1, g2)+far(b1, b2) < 12<<8
}
