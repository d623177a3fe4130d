package access

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

const (
	loginPath  = "/login"
	logoutPath = "/logout"
)

// login opens a link: it is used up, and the browser gets the cookie of a session. HEAD, which programs send that look at
// links, leaves it as it is.
func (c *Control) login(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, r, http.StatusMethodNotAllowed, "a link is opened by GET")
		return
	}
	cookie, s, ok := c.book.open(r.URL.Query().Get("token"), accountOf(r))
	if !ok {
		showPage(w, http.StatusForbidden, screen{Title: "This link is not good any longer", Used: true})
		return
	}
	if c.cfg.Opened != nil {
		c.cfg.Opened(s.by, r.RemoteAddr)
	}
	http.SetCookie(w, sessionCookie(r, cookie, int(maxSession.Seconds())))
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		// The link was followed on another page: the cookie does not go with a redirection then (RFC 6265bis section 5.2).
		showPage(w, http.StatusOK, screen{Title: "mailhatch", Next: "/"})
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout ends the session of a request.
func (c *Control) logout(w http.ResponseWriter, r *http.Request) {
	if !c.isMeant(r) {
		refuse(w, r, http.StatusForbidden, "the form is too old or not from here: load the page again")
		return
	}
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		c.book.end(cookie.Value)
	}
	http.SetCookie(w, sessionCookie(r, "", -1))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// sessionCookie is the cookie of a session; age in seconds, -1 removes it.
func sessionCookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode}
}

//go:embed login.html login.css
var files embed.FS

// screen is what somebody sees who has no session.
type screen struct {
	Title string
	Words string // why else a request is not answered
	Used  bool   // a link was opened that is none, or is none any longer
	Next  string // where the browser goes on
	Again string // the same address, for a browser that did not send its cookie
	Style template.CSS
}

func showPage(w http.ResponseWriter, status int, s screen) {
	t, err := template.ParseFS(files, "login.html")
	style, styleErr := files.ReadFile("login.css")
	if err = errors.Join(err, styleErr); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.Style = template.CSS(style)
	own := sha256.Sum256(style) // the stylesheet of the page is for those who may see it
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(own[:])+
		"'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = t.Execute(w, s) // the client is gone
}

// wantsPage reports whether a browser asks for a page.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// refusePage tells a person how the page is opened. The challenge, which a 401 has to have (RFC 9110 section 15.5.2), is not one for which
// a browser asks for a password.
func refusePage(w http.ResponseWriter, r *http.Request) {
	s := screen{Title: "Open the page with a link"}
	if isSafe(r) && r.Header.Get("Sec-Fetch-Site") != "same-origin" {
		s.Again = (&url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}).String()
	}
	w.Header().Set("WWW-Authenticate", `Cookie realm="mailhatch", cookie-name="`+cookieName(r)+`"`)
	showPage(w, http.StatusUnauthorized, s)
}

// refuse answers as the API does, and people on a page.
func refuse(w http.ResponseWriter, r *http.Request, status int, words string) {
	if wantsPage(r) {
		showPage(w, status, screen{Title: "This was refused", Words: strings.ToUpper(words[:1]) + words[1:] + "."})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": words}) // the client is gone
}
