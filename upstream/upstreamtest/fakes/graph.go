package fakes

import (
	"encoding/base64"
	"net/http"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// NewGraph starts a fake of Microsoft Graph, https://learn.microsoft.com/en-us/graph/api/user-sendmail, with a token
// endpoint at /token beside it. The key is the client secret.
func NewGraph(secret string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("graph", secret, graph{}, opts)
}

type graph struct{}

func graphError(status int, code, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(map[string]any{"error": map[string]any{"code": code, "message": message,
		"innerError": map[string]string{"request-id": "r"}}})}
}

func (graph) Limit() int64 { return 4 << 20 }

func (graph) TooLarge() *upstreamtest.Answer {
	return graphError(413, "RequestEntityTooLarge", "The page was not displayed because the request entity is too large.")
}

func (graph) isSend(r *http.Request) bool {
	user, ok := strings.CutPrefix(r.URL.Path, "/users/")
	return r.Method == http.MethodPost && (ok && strings.HasSuffix(user, "@example.com/sendMail") || r.URL.Path == "/me/sendMail")
}

// Sends is false for a body that is no base64: nothing is sent.
func (g graph) Sends(r *http.Request) bool { return g.isSend(r) && r.ContentLength != 1 }

func (graph) Authorized(r *http.Request, secret string) bool { return hasToken(r, secret) }

func (graph) Unauthorized(r *http.Request) *upstreamtest.Answer {
	if a := refuseToken(r); a != nil {
		return a
	}
	return graphError(401, "InvalidAuthenticationToken", "Access token is empty, or has expired.")
}

// Other grants tokens, and refuses what is no message where the scopes of the account say so.
func (g graph) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	switch {
	case !g.isSend(r):
		return grantToken(r, "https://graph.microsoft.com/.default")
	case len(acct.Scopes) > 0:
		return graphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
	}
	return graphError(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
}

func (graph) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 202, Header: http.Header{"Request-Id": {msg.ID}}}
}

func (graph) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	if r.Header.Get("Content-Type") != "text/plain" {
		return graphError(400, "BadRequest", "Unable to read JSON request payload.")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(string(body))
	if err != nil || strings.ContainsAny(string(body), "\r\n") {
		return graphError(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
	}
	if fault := takeAddressed(msg, raw); fault != "" {
		return graphError(400, "ErrorInvalidRecipients", fault)
	}
	return nil
}
