package browser

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// point moves the pointer to the middle of an element.
func (b *tab) point(selector string) {
	b.t.Helper()
	at := js[[]float64](b, fmt.Sprintf(`(() => { const r = document.querySelector(%s).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`, quote(selector)))
	if _, err := chromedp.Call(b.ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: at[0], Y: at[1]}); err != nil {
		b.t.Fatal(err)
	}
}

// calm: what changes by itself does not move what is pointed at, and takes neither the focus nor what was unfolded away.
func calm(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.provider.status.Store(http.StatusUnauthorized)
	b := h.open(browser)
	b.visit("/overview")
	js[bool](b, `document.querySelector("#points summary").click(); document.querySelector("#points summary").focus(); true`)
	b.point(".figure")
	at := js[float64](b, `document.querySelector(".figures").getBoundingClientRect().y`)
	h.send("news@example.com", "News", "ann@example.org")
	b.shows("#whole", "1 waits for bulk")
	b.shows(".figure", "Accepted today 1")
	if now := js[float64](b, `document.querySelector(".figures").getBoundingClientRect().y`); now != at {
		t.Errorf("what is pointed at moves from %v to %v", at, now)
	}
	if !js[bool](b, `document.querySelector("#points").open && document.activeElement === document.querySelector("#points summary")`) {
		t.Errorf("the focus is on %s, the figures are open: %v", js[string](b, `document.activeElement.outerHTML`), js[bool](b, `document.querySelector("#points").open`))
	}
	b.shows("#points", "Messages accepted") // they are those of now: the table has a row
	b.point(".brand")
	b.shows("#attention", "bulk has been closed")

	b.visit("/messages")
	row := `document.querySelector("#rows tr").getBoundingClientRect().y`
	at = js[float64](b, row)
	h.send("shop@example.com", "One more", "bob@example.org")
	b.shows("#new", "1 new message")
	if now := js[float64](b, row); now != at {
		t.Errorf("rows move from %v to %v", at, now)
	}
}

// crowd: the recipients of a large message are few lines, which stay unfolded while their fates change.
func crowd(t *testing.T, browser context.Context) {
	h := newHouse(t)
	var to []string
	for i := range 60 {
		to = append(to, fmt.Sprintf("reader%02d@example.org", i))
	}
	to = append(to, "eva@drafts.example.net")
	h.sendAs("shop@example.com", to, "Subject: To many\r\nFrom: shop@example.com\r\n\r\nHello\r\n")
	b := h.open(browser)
	b.visit("/messages")
	b.click(".subject a", "To many")
	b.shows(".fates", "60 recipients taken by main")
	b.shows(".fates", "eva@drafts.example.net held by route drafts")
	if n := js[int](b, `document.querySelectorAll(".fates > li").length`); n != 2 {
		t.Errorf("%d lines", n)
	}
	if js[bool](b, `document.querySelector(".names").checkVisibility()`) {
		t.Error("the recipients are not folded")
	}
	b.must(chromedp.Click(chromedp.CSS(".fates summary")))
	b.await("the recipients", `document.querySelector(".names").checkVisibility() && document.querySelector(".names").textContent.includes("reader59@example.org")`)
	id := js[string](b, `location.pathname.split("/").pop()`)
	other := h.open(browser)
	other.visit("/act?do=release&id=" + id)
	other.click(".primary", "Release 1 recipient")
	other.shows(".did", "1 recipient is released.")
	b.shows(".fates", "61 recipients taken by main")
	if !js[bool](b, `document.querySelector(".fates details").open`) {
		t.Error("a live update folds what was unfolded")
	}
}

// phone: nothing is wider than a small phone, and nothing of navigation and filters is cut off.
func phone(t *testing.T, browser context.Context) {
	h := newHouse(t)
	screens := furnish(h)
	long := strings.Repeat("a", 60) + "@" + strings.Repeat("department.", 12) + "example.org"
	h.send("shop@example.com", strings.Repeat("Unbreakable", 30), long)
	h.send("shop@example.com", "Held "+strings.Repeat("Unbreakable", 30), "eva@drafts.example.net")
	h.provider.status.Store(http.StatusUnauthorized)
	h.send("news@example.com", "For a closed upstream", "bob@example.org")
	b := h.open(browser)
	b.size(375, 812, true)
	b.visit("/overview")
	b.shows("#attention", "bulk has been closed")
	b.visit("/messages?q=state:held")
	address := js[string](b, `document.querySelector(".subject a").getAttribute("href")`)
	for _, tab := range []string{"timeline", "text", "headers", "files", "source"} {
		screens[tab] = address + "?tab=" + tab
	}
	screens["again"], screens["delete"], screens["tried"] = address+"/again", "/act?do=delete&q=to:"+long, "/routes?to="+long
	for name, path := range screens {
		b.visit(path)
		if width := js[int](b, `document.documentElement.scrollWidth`); width > 375 {
			t.Errorf("%s is %d pixels wide", name, width)
		}
		cut := js[[]string](b, `[...document.querySelectorAll("nav a, .switch a, .tools button, .button, .whole")].filter(e => e.checkVisibility())
			.filter(e => { const r = e.getBoundingClientRect(); return r.left < 0 || r.right > 375 || e.scrollWidth > e.clientWidth + 1 || r.height < 43; }).map(e => e.textContent)`)
		if len(cut) > 0 {
			t.Errorf("%s: %q are cut off or too small to be touched", name, cut)
		}
	}
}

// wayIn: a browser that has no session is told how to get one, and nothing else.
func wayIn(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.send("shop@example.com", "Secret plan", "eva@drafts.example.net")
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer closeTab()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	b := &tab{t, ctx, h.base}
	b.visit("/messages")
	b.shows("h1", "Open the page with a link")
	b.shows("pre", "mailhatch page")
	if status := js[int](b, `performance.getEntriesByType("navigation")[0].responseStatus`); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	if body := js[string](b, `document.documentElement.outerHTML`); strings.Contains(body, "Secret") || strings.Contains(body, "mail.example.com") {
		t.Errorf("a stranger sees %s", body)
	}
}
