package access

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// maxForm is the most that a request may bring, in bytes.
const maxForm = 1 << 20

// Policy is the content security policy of all answers that set none of their own: only what this server has,
// nothing inline, and in nobody's frame.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Protect returns next for requests that come from a program, or from a page of this server, to a name that it has. It
// also answers to those who open a link and to those who log out. Where it speaks TLS, named knows the names it has
// beside those of loopback; it may be nil.
func (c *Control) Protect(next http.Handler, named func(host string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header(), r.TLS != nil)
		r.Header.Del(accountField)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		switch {
		case !isOwnHost(r, named):
			refuse(w, r, http.StatusForbidden, "only programs on this machine may ask, by its loopback address; others by a name of the certificate")
		case r.Header.Get("Sec-Fetch-Site") != "" && !fetchedHere(r), !isSafe(r) && !sentHere(r), isSafe(r) && !seenHere(r):
			refuse(w, r, http.StatusForbidden, "this was sent by another page, which may not ask here")
		case r.URL.Path == loginPath:
			c.login(w, r)
		case r.URL.Path == logoutPath && r.Method == http.MethodPost:
			c.logout(w, r)
		case !isSafe(r) && !c.isMeant(r):
			refuse(w, r, http.StatusForbidden, "the form is too old or not from here: load the page again")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// harden tells browsers to keep nothing, to guess nothing, to tell nobody where a link was, and to let no other page in.
func harden(h http.Header, secure bool) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

func isSafe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// isOwnHost reports whether the Host field names this machine: a page whose name was made to point here has another one.
func isOwnHost(r *http.Request, named func(host string) bool) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback() || r.TLS != nil // rebinding takes a name
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // nobody else can have these (RFC 6761 section 6.3)
		return true
	}
	return r.TLS != nil && named != nil && named(name)
}

// isOwnOrigin reports whether an Origin field names the address that the request went to.
func isOwnOrigin(r *http.Request, origin string) bool {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return strings.EqualFold(origin, scheme+r.Host)
}

// fetchedHere reports whether a browser was led here by this server, or by the person: a link elsewhere may be followed,
// and is met like anybody.
func fetchedHere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	}
	return isSafe(r) && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && !strings.HasPrefix(r.URL.Path, "/api/")
}

// seenHere reports whether what is asked for is not for another page's eyes.
func seenHere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return origin == "" || isOwnOrigin(r, origin)
}

// sentHere reports whether a change was sent by a program or by a page of this server. With Referrer-Policy: no-referrer
// browsers send "Origin: null" with forms (Fetch standard, "append a request Origin header"); then Sec-Fetch-Site decides.
func sentHere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "null" {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	return origin == "" || isOwnOrigin(r, origin)
}

// isMeant reports whether a change is meant by who sends it: browsers send a cookie without being asked to, and so what comes
// with one repeats the token of its session.
func (c *Control) isMeant(r *http.Request) bool {
	caller := c.Caller(r)
	if caller.Level != Person {
		return true
	}
	given := r.Header.Get(HeaderToken)
	if given == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		given = r.PostFormValue(FormToken)
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(caller.CSRF)) == 1
}
