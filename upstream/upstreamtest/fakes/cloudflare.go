package fakes

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mailhatch/upstream/upstreamtest"
)

// NewCloudflare starts a fake of Cloudflare's Email Sending for one account,
// https://developers.cloudflare.com/api/resources/email_sending/methods/send_raw
// Mail to bounce@ bounces, that to later@ is queued, and of suppressed@ nothing is said.
func NewCloudflare(token, account string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("cloudflare", token, cloudflare{"/accounts/" + account + "/email/sending/send_raw"}, opts)
}

type cloudflare struct{ path string }

func cloudflareError(status, code int, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(map[string]any{"success": false, "messages": []string{}, "result": nil,
		"errors": []map[string]any{{"code": code, "message": message}}})}
}

func (cloudflare) Limit() int64 { return 12 << 20 }

func (cloudflare) TooLarge() *upstreamtest.Answer {
	return cloudflareError(400, 10200, "email.sending.error.email.too_big")
}

// Sends takes a request without a message for one that sends nothing.
func (c cloudflare) Sends(r *http.Request) bool {
	return r.URL.Path == c.path && r.Method == http.MethodPost && r.ContentLength > int64(len("{}"))
}

func (cloudflare) Authorized(r *http.Request, key string) bool {
	return r.Header.Get("Authorization") == "Bearer "+key
}

func (cloudflare) Unauthorized(*http.Request) *upstreamtest.Answer {
	return cloudflareError(401, 10101, "email.sending.error.authentication.unauthorized")
}

func (c cloudflare) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	switch {
	case r.URL.Path != c.path:
		return cloudflareError(404, 7003, "Could not route to "+r.URL.Path+", perhaps your object identifier is invalid?")
	case slices.Contains(acct.Scopes, "read"):
		return cloudflareError(403, 10102, "email.sending.error.authentication.forbidden")
	}
	return cloudflareError(400, 10001, "email.sending.error.invalid_request_schema")
}

func (cloudflare) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	delivered, queued, bounced := []string{}, []string{}, []string{}
	for _, a := range msg.Recipients {
		if strings.HasPrefix(a, "later@") {
			queued = append(queued, a)
		} else {
			delivered = append(delivered, a)
		}
	}
	for a, why := range msg.Refused {
		if why == "bounce" {
			bounced = append(bounced, a)
		}
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"success": true, "errors": []string{}, "messages": []string{},
		"result": map[string]any{"message_id": msg.ID, "delivered": delivered, "queued": queued, "permanent_bounces": bounced}})}
}

func (cloudflare) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	var req struct {
		From        string   `json:"from"`
		Recipients  []string `json:"recipients"`
		MIMEMessage string   `json:"mime_message"`
	}
	schema := func(what string) *upstreamtest.Answer {
		return cloudflareError(400, 10001, "email.sending.error.invalid_request_schema: "+what)
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return schema("the request is no JSON")
	}
	if err := upstreamtest.DecodeStrict(body, &req); err != nil {
		return schema(err.Error())
	}
	if upstreamtest.CheckAddress(req.From) != nil {
		return cloudflareError(403, 10203, "email.sending.error.email.sending_disabled")
	}
	if len(req.Recipients) == 0 || len(req.Recipients) > 50 {
		return schema("from 1 to 50 recipients")
	}
	if fault := takeRecipients(msg, req.Recipients); fault != "" {
		return schema("recipients: " + fault)
	}
	if len(req.MIMEMessage) > 5<<20 {
		return cloudflareError(400, 10200, "email.sending.error.email.too_big")
	}
	if fault := takeText(msg, req.MIMEMessage); fault != "" {
		return cloudflareError(400, 10202, "email.sending.error.email.invalid: "+fault)
	}
	if fault := cloudflareHeader(req.MIMEMessage); fault != "" {
		return cloudflareError(400, 10202, fault)
	}
	refuseSome(msg, func(address string) string {
		local, _, _ := strings.Cut(address, "@")
		return map[string]string{"bounce": "bounce", "suppressed": "suppressed"}[local]
	})
	return nil
}

// takeText reads a message that came as a text.
func takeText(msg *upstreamtest.Message, text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r > '~'+1 }) {
		return "the message is not in its 7-bit form"
	}
	msg.Raw = []byte(text)
	if err := upstreamtest.ReadRaw(msg); err != nil {
		return err.Error()
	}
	return ""
}

// refuseSome takes out of the recipients those for whom why has words.
func refuseSome(msg *upstreamtest.Message, why func(address string) string) {
	msg.Refused = map[string]string{}
	msg.Recipients = slices.DeleteFunc(msg.Recipients, func(a string) bool {
		words := why(a)
		if words != "" {
			msg.Refused[a] = words
		}
		return words != ""
	})
}

// cloudflareNames are the fields that are taken, by the documentation of the API.
var cloudflareNames = regexp.MustCompile(`(?i)^(from|to|cc|subject|reply-to|date|message-id|mime-version|content-[a-z-]+|(x-[a-z0-9_-]+)|` +
	`(in-reply-to|references|list-(unsubscribe(-post)?|id|archive|help|owner|post|subscribe)|precedence|auto-submitted|keywords|comments|importance|` +
	`priority|sensitivity|organization|require-recipient-valid-since|expires|reply-by|archived-at))$`)

// cloudflareValues are the values of fields that have few.
var cloudflareValues = map[string]*regexp.Regexp{
	"precedence":            regexp.MustCompile(`^(bulk|list|junk)$`),
	"auto-submitted":        regexp.MustCompile(`^auto-(generated|replied|notified)$`),
	"importance":            regexp.MustCompile(`^(high|normal|low)$`),
	"priority":              regexp.MustCompile(`^(normal|non-urgent|urgent)$`),
	"sensitivity":           regexp.MustCompile(`^(personal|private|company-confidential)$`),
	"list-unsubscribe-post": regexp.MustCompile(`^List-Unsubscribe=One-Click$`),
	"list-unsubscribe":      regexp.MustCompile(`(?i)^[^<]*<(https:|mailto:)[^>]*>`),
}

// cloudflareHeader holds a header to https://developers.cloudflare.com/email-service/reference/headers/
func cloudflareHeader(message string) string {
	head, _, _ := strings.Cut(strings.ReplaceAll(message, "\r\n", "\n"), "\n\n")
	head = regexp.MustCompile(`\n[ \t]+`).ReplaceAllString(head, " ")
	count, size := 0, 0
	for line := range strings.SplitSeq(strings.TrimSpace(head), "\n") {
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		form := cloudflareNames.FindStringSubmatch(name)
		if form == nil {
			return fmt.Sprintf("E_HEADER_NOT_ALLOWED: Header '%s' is not allowed.", name)
		}
		if form[2] == "" && form[3] == "" {
			continue
		}
		if want := cloudflareValues[strings.ToLower(name)]; value == "" || want != nil && !want.MatchString(value) {
			return fmt.Sprintf("E_HEADER_VALUE_INVALID: Header '%s' is malformed: %q.", name, value)
		}
		if len(value) > 2048 || len(name) > 100 {
			return fmt.Sprintf("E_HEADER_VALUE_TOO_LONG: Header '%s' value exceeds 2048 byte limit.", name)
		}
		if form[3] != "" {
			count++
		}
		size += len(name) + len(value) + 4
	}
	if count > 20 || size > 16<<10 {
		return fmt.Sprintf("E_HEADERS_TOO_MANY: %d allowlisted headers and %d bytes", count, size)
	}
	return ""
}
