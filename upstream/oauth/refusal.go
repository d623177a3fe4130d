package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"mailhatch/upstream"
)

// explain sorts the failure of a renewal.
func (s *Source) explain(err error) *upstream.Error {
	redact := upstream.NewRedactor(s.Secrets()...)
	var refusal *oauth2.RetrieveError
	switch {
	case errors.Is(err, errNoLogin) && s.cannotRead() != nil:
		return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("no token: %w", s.cannotRead())}
	case errors.Is(err, errNoLogin):
		return &upstream.Error{Class: upstream.Account, Code: "login", Err: s.logIn(err)}
	case errors.As(err, &refusal):
		return s.refusal(refusal, redact)
	}
	var network *url.Error
	if errors.As(err, &network) {
		err = network.Err // the address says nothing
		return &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("no token: cannot reach the token endpoint: %w", redact.Error(err))}
	}
	if words := err.Error(); strings.Contains(words, "cannot parse") || strings.Contains(words, "unmarshal") { // what was in its place nobody tells
		err = errors.New("the token endpoint's answer is not its own; look at token_url, HTTPS_PROXY, and for a page of the network to log in at")
	}
	return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("no token: %w", redact.Error(err))}
}

// refusal reads an error answer of the endpoint (RFC 6749 5.2).
func (s *Source) refusal(r *oauth2.RetrieveError, redact *upstream.Redactor) *upstream.Error {
	if r.ErrorCode == "" { // package jwt does not read it
		var w struct {
			Code  string `json:"error"`
			Words string `json:"error_description"`
		}
		if json.Unmarshal(r.Body, &w) == nil {
			r.ErrorCode, r.ErrorDescription = w.Code, w.Words
		}
	}
	e := &upstream.Error{Class: upstream.Account, Status: r.Response.StatusCode, Code: redact.Redact(oneLine(r.ErrorCode))}
	words := redact.Redact(oneLine(r.ErrorDescription))
	if words == "" {
		words = redact.Redact(oneLine(string(r.Body)))
	}
	if e.Status >= 300 && e.Status < 400 {
		words = "the token endpoint redirects, which is not followed; look at token_url"
	}
	if words == "" {
		words = "the token endpoint gives no reason"
	}
	if len(words) > 300 {
		words = words[:300] + "…"
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		e.Class = upstream.Throttled
	case e.Status >= 500, r.ErrorCode == "temporarily_unavailable", r.ErrorCode == "server_error", r.ErrorCode == "" && e.Status != 401:
		e.Class = upstream.Temporary // who speaks so may be a proxy
	}
	if seconds, err := strconv.Atoi(r.Response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, 24*time.Hour)
	}
	e.Err = Advise(fmt.Errorf("no token: %s", words), r.ErrorCode+" "+r.ErrorDescription)
	known, _ := errors.AsType[*advised](e.Err)
	if s.settings.Flow == Device && (known == nil && r.ErrorCode == "invalid_grant" || known != nil && known.step == "login") {
		e.Err = s.logIn(fmt.Errorf("no token: %s", words))
	}
	return e
}

// logIn says who can help.
func (s *Source) logIn(err error) error {
	return &advised{err, "login", "run mailhatch login " + s.name}
}
