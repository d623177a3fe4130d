package fakes

import (
	"encoding/base64"
	"net/http"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// NewGmail starts a fake of the Gmail API, https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send,
// with a token endpoint at /token beside it. The key is the client secret.
func NewGmail(secret string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("gmail", secret, gmail{}, opts)
}

type gmail struct{}

func gmailError(status int, reason, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(map[string]any{"error": map[string]any{"code": status, "message": message,
		"errors": []map[string]string{{"message": message, "domain": "global", "reason": reason}}, "status": "X"}})}
}

func (gmail) Limit() int64 { return 35 << 20 }

func (gmail) TooLarge() *upstreamtest.Answer {
	return gmailError(413, "uploadTooLarge", "The upload is too large.")
}

func (gmail) isSend(r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, "/upload")
	return r.Method == http.MethodPost && (path == "/gmail/v1/users/me/messages/send" || path == "/gmail/v1/users/app@example.com/messages/send")
}

// Sends is false for a body without a message.
func (g gmail) Sends(r *http.Request) bool { return g.isSend(r) && r.ContentLength != 2 }

func (gmail) Authorized(r *http.Request, secret string) bool { return hasToken(r, secret) }

func (gmail) Unauthorized(r *http.Request) *upstreamtest.Answer {
	if a := refuseToken(r); a != nil {
		return a
	}
	return gmailError(401, "authError", "Invalid Credentials")
}

// Other grants tokens, and refuses what is no message where the scopes of the account say so.
func (g gmail) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	switch {
	case !g.isSend(r):
		return grantToken(r, "https://www.googleapis.com/auth/gmail.send")
	case len(acct.Scopes) > 0:
		return gmailError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
	}
	return gmailError(400, "invalidArgument", "'raw' RFC822 payload message string or uploading message via /upload/* URL required")
}

func (gmail) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"id": msg.ID, "threadId": msg.ID, "labelIds": []string{"SENT"}})}
}

func (g gmail) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	raw := body
	switch uploaded := strings.HasPrefix(r.URL.Path, "/upload"); {
	case uploaded && (r.URL.RawQuery != "uploadType=media" || r.Header.Get("Content-Type") != "message/rfc822"):
		return gmailError(400, "badRequest", "Media type is not supported.")
	case !uploaded && (r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/json"):
		return gmailError(400, "parseError", "This API does not support parsing form-encoded input.")
	case !uploaded:
		var req struct {
			Raw string `json:"raw"`
		}
		err := upstreamtest.DecodeStrict(body, &req)
		if err == nil {
			raw, err = base64.URLEncoding.Strict().DecodeString(req.Raw)
		}
		if err != nil {
			return gmailError(400, "invalidArgument", "Invalid value for ByteString: "+err.Error())
		}
	}
	if fault := takeAddressed(msg, raw); fault != "" {
		return gmailError(400, "invalidArgument", fault)
	}
	return nil
}
