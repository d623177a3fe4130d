package fakes

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// NewMandrill starts a fake of Mailchimp Transactional, https://mailchimp.com/developer/transactional/api/messages/
// Mail to rejected+REASON@ is rejected for that reason, and of forgotten@ nothing is said.
func NewMandrill(key string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("mandrill", key, mandrill{}, opts)
}

type mandrill struct{}

func mandrillError(code int, name, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 500, Body: upstreamtest.JSON(map[string]any{"status": "error", "code": code, "name": name, "message": message})}
}

func (mandrill) Limit() int64 { return 52 << 20 }

func (mandrill) TooLarge() *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 413, Body: "<html>413 Request Entity Too Large</html>"}
}

func (mandrill) Sends(r *http.Request) bool {
	return r.URL.Path == "/messages/send-raw.json" && r.Method == http.MethodPost
}

// Authorized reads the key, which stands in the body alone.
func (mandrill) Authorized(r *http.Request, key string) bool {
	var req struct {
		Key string `json:"key"`
	}
	body, err := io.ReadAll(r.Body)
	return err == nil && json.Unmarshal(body, &req) == nil && req.Key == key && r.Header.Get("Authorization") == ""
}

func (mandrill) Unauthorized(*http.Request) *upstreamtest.Answer {
	return mandrillError(-1, "Invalid_Key", "Invalid API key")
}

func (mandrill) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	if r.URL.Path != "/senders/domains.json" {
		return nil
	}
	list := []map[string]any{}
	for _, d := range acct.Domains {
		var verified any
		if d.Status != "pending" {
			verified = "2026-01-02 03:04:05"
		}
		list = append(list, map[string]any{"domain": d.Name, "verified_at": verified, "valid_signing": d.Status == "verified"})
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(list)}
}

func (mandrill) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	list := []map[string]any{}
	for i, a := range msg.Recipients {
		list = append(list, map[string]any{"email": a, "status": []string{"sent", "queued"}[i%2], "reject_reason": nil, "_id": msg.ID + "-" + a})
	}
	for a, why := range msg.Refused {
		switch why {
		case "forgotten":
		case "invalid":
			list = append(list, map[string]any{"email": a, "status": "invalid", "_id": "x"})
		default:
			list = append(list, map[string]any{"email": a, "status": "rejected", "reject_reason": why, "_id": "x"})
		}
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(list)}
}

// mandrillFields are what a message must say to Mandrill, which takes the fields out.
var mandrillFields = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^X-MC-Track: none\r?\n`),
	regexp.MustCompile(`(?m)^X-MC-PreserveRecipients: true\r?\n`),
	regexp.MustCompile(`(?m)^X-MC-Metadata:(?:\r?\n)? \{"mailhatch_id":"[^"]*"\}\r?\n`),
}

func (mandrill) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	var req struct {
		Key        string   `json:"key"`
		FromEmail  string   `json:"from_email"`
		To         []string `json:"to"`
		Async      bool     `json:"async"`
		RawMessage string   `json:"raw_message"`
	}
	invalid := func(field, what string) *upstreamtest.Answer {
		return mandrillError(-2, "ValidationError", "Validation error: "+upstreamtest.JSON(map[string]string{field: what}))
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return invalid("raw_message", "the request is no JSON")
	}
	if err := upstreamtest.DecodeStrict(body, &req); err != nil {
		return invalid("raw_message", err.Error())
	}
	if req.Async || len(req.To) > 10 || len(req.To) == 0 {
		return invalid("async", "nobody would say what became of the recipients")
	}
	if upstreamtest.CheckAddress(req.FromEmail) != nil {
		return invalid("from_email", "An email address must contain a single @")
	}
	if fault := takeRecipients(msg, req.To); fault != "" {
		return invalid("to", fault)
	}
	text := req.RawMessage
	if len(text) > 25<<20 {
		return invalid("raw_message", "Total size of message exceeds the limit")
	}
	for _, field := range mandrillFields {
		at := field.FindStringIndex(text)
		if head := strings.Index(text, "\r\n\r\n"); at == nil || head >= 0 && at[0] > head {
			return invalid("raw_message", "no "+field.String())
		}
		text = text[:at[0]] + text[at[1]:]
	}
	if fault := takeText(msg, text); fault != "" {
		return invalid("raw_message", fault)
	}
	refuseSome(msg, func(address string) string {
		local, _, _ := strings.Cut(address, "@")
		if slices.Contains([]string{"forgotten", "invalid"}, local) {
			return local
		}
		why, _ := strings.CutPrefix(local, "rejected+")
		if why == local {
			return ""
		}
		return why
	})
	return nil
}
