package fakes

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// NewBrevo starts a fake of Brevo, https://developers.brevo.com/reference/send-transac-email
func NewBrevo(key string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("brevo", key, brevoAPI{}, opts)
}

type brevoAPI struct{}

func brevoError(status int, code, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(map[string]string{"code": code, "message": message})}
}

func (brevoAPI) Limit() int64 { return 20 << 20 }

func (brevoAPI) TooLarge() *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 413, Body: "Request Entity Too Large"}
}

func (brevoAPI) Sends(r *http.Request) bool {
	return r.URL.Path == "/v3/smtp/email" && r.Method == http.MethodPost
}

func (brevoAPI) Authorized(r *http.Request, key string) bool { return r.Header.Get("Api-Key") == key }

func (brevoAPI) Unauthorized(*http.Request) *upstreamtest.Answer {
	return brevoError(401, "unauthorized", "Key not found")
}

// Other serves the account, without credits or not activated where the scopes say so, and its domains.
func (brevoAPI) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	switch {
	case r.Method != http.MethodGet:
		return nil
	case r.URL.Path == "/v3/account":
		credits := 291
		if slices.Contains(acct.Scopes, "no credits") {
			credits = 0
		}
		return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"email": "owner@example.com", "companyName": "MyShop",
			"plan":  []map[string]any{{"type": "free", "creditsType": "sendLimit", "credits": credits}, {"type": "sms", "creditsType": "sendLimit", "credits": 0}},
			"relay": map[string]any{"enabled": !slices.Contains(acct.Scopes, "not activated")}})}
	case r.URL.Path != "/v3/senders/domains":
		return nil
	case acct.SendOnly:
		return brevoError(403, "permission_denied", "You do not have the permission to view domains")
	}
	list := []map[string]any{}
	for _, d := range acct.Domains {
		list = append(list, map[string]any{"id": "id-" + d.Name, "domain_name": d.Name, "authenticated": d.Status == "authenticated", "verified": true})
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"count": len(list), "current_page": 1, "total_pages": 1, "domains": list})}
}

func (brevoAPI) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 201, Body: upstreamtest.JSON(map[string]string{"messageId": msg.ID})}
}

type brevoMailbox struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

type brevoRequest struct {
	Sender      *brevoMailbox          `json:"sender"`
	To          []brevoMailbox         `json:"to"`
	Cc          []brevoMailbox         `json:"cc"`
	Bcc         []brevoMailbox         `json:"bcc"`
	ReplyTo     *brevoMailbox          `json:"replyTo"`
	Subject     string                 `json:"subject"`
	HTMLContent string                 `json:"htmlContent"`
	TextContent string                 `json:"textContent"`
	Headers     upstreamtest.StringMap `json:"headers"`
	Tags        []string               `json:"tags"`
	Attachment  []struct {
		Name    string `json:"name"`
		Content string `json:"content"`
	} `json:"attachment"`
}

// brevoHeaders are fields that have a place of their own.
var brevoHeaders = []string{"From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
	"Content-Transfer-Encoding", "Received", "Return-Path", "DKIM-Signature", "sender.ip"}

// brevoFiles: https://developers.brevo.com/reference/send-transac-email (attachment)
const brevoFiles = " xlsx xls ods docx docm doc csv pdf txt gif jpg jpeg png tif tiff rtf bmp cgm css shtml html htm zip xml ppt pptx tar ez ics mobi msg pub eps" +
	" odt mp3 m4a m4v wma ogg flac wav aif aifc aiff mp4 mov avi mkv mpeg mpg wmv pkpass xlsm "

// brevoTypes are those of the texts: Brevo goes by the extension.
var brevoTypes = map[string]string{"txt": "text/plain", "csv": "text/csv", "html": "text/html", "ics": "text/calendar", "css": "text/css"}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func invalid(format string, args ...any) *upstreamtest.Answer {
	return brevoError(400, "invalid_parameter", fmt.Sprintf(format, args...))
}

func (brevoAPI) Take(s *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	msg.RequestHeader.Del("Api-Key")
	var req brevoRequest
	if err := upstreamtest.DecodeStrict(body, &req); err != nil || r.Header.Get("Content-Type") != "application/json" {
		return brevoError(400, "bad_request", fmt.Sprintf("Input must be a valid JSON: %v", err))
	}
	msg.IdempotencyKey = req.Headers["idempotencyKey"]
	delete(req.Headers, "idempotencyKey")
	if !uuidForm.MatchString(msg.IdempotencyKey) {
		return invalid("idempotencyKey must be a UUID")
	}
	if s.IsKnown(msg.IdempotencyKey) {
		return brevoError(400, "duplicate_parameter", "Duplicate idempotencyKey")
	}
	for _, check := range []func(*upstreamtest.Message) *upstreamtest.Answer{req.people, req.content, req.files} {
		if a := check(msg); a != nil {
			return a
		}
	}
	return nil
}

// check holds a mailbox to the rules. A name beyond ASCII with punctuation would be dropped or sent as raw bytes.
func (b *brevoMailbox) check(field string, most int) *upstreamtest.Answer {
	switch name := []rune(b.Name); {
	case upstreamtest.CheckAddress(b.Email) != nil:
		return invalid("email is not valid in %s", field)
	case most > 0 && len(name) > most:
		return invalid("name is longer than %d characters in %s", most, field)
	case slices.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
		return invalid("name holds control characters in %s", field)
	case slices.ContainsFunc(name, func(r rune) bool { return r > '~' }) && strings.ContainsAny(b.Name, "()<>[]:;@\\,.\""):
		return invalid("name would be lost in %s", field)
	}
	return nil
}

func (b *brevoMailbox) String() string {
	if b.Name == "" {
		return b.Email
	}
	return b.Name + " <" + b.Email + ">"
}

func (req *brevoRequest) people(msg *upstreamtest.Message) *upstreamtest.Answer {
	if req.Sender == nil || req.Sender.check("sender", 0) != nil {
		return invalid("valid sender email and name are required")
	}
	msg.From = req.Sender.String()
	if req.ReplyTo != nil {
		if a := req.ReplyTo.check("replyTo", 70); a != nil {
			return a
		}
		msg.ReplyTo = []string{req.ReplyTo.String()}
	}
	if len(req.To) == 0 {
		return brevoError(400, "missing_parameter", "to is missing")
	}
	for _, list := range []struct {
		name string
		in   []brevoMailbox
		out  *[]string
	}{{"to", req.To, &msg.To}, {"cc", req.Cc, &msg.Cc}, {"bcc", req.Bcc, &msg.Bcc}} {
		for i := range list.in {
			b := &list.in[i]
			if a := b.check(list.name, 70); a != nil {
				return a
			}
			addr := strings.ToLower(b.Email)
			if slices.Contains(msg.Recipients, addr) {
				return invalid("%s is there twice", addr)
			}
			msg.Recipients = append(msg.Recipients, addr)
			*list.out = append(*list.out, b.String())
		}
	}
	if len(msg.Recipients) > 99 {
		return invalid("more than 99 recipients")
	}
	return nil
}

func (req *brevoRequest) content(msg *upstreamtest.Message) *upstreamtest.Answer {
	switch {
	case req.Subject == "":
		return brevoError(400, "missing_parameter", "subject is missing")
	case req.HTMLContent == "":
		return invalid("without htmlContent the text would be replaced by an HTML of Brevo's own")
	case len(req.Tags) != 1 || req.Tags[0] == "":
		return invalid("tags must be strings")
	}
	if err := upstreamtest.HeaderNames(req.Headers, brevoHeaders); err != nil {
		return invalid("%v", err)
	}
	for name, value := range req.Headers {
		if strings.ContainsFunc(value, func(r rune) bool { return r > '~' }) {
			return invalid("the header %s would be sent as raw bytes", name)
		}
	}
	msg.Subject, msg.HTML, msg.Text, msg.Headers = req.Subject, req.HTMLContent, req.TextContent, req.Headers
	msg.Options = map[string]string{"tag": req.Tags[0]}
	return nil
}

func (req *brevoRequest) files(msg *upstreamtest.Message) *upstreamtest.Answer {
	for _, f := range req.Attachment {
		data, err := upstreamtest.DecodeFile(f.Content)
		ext := strings.ToLower(strings.TrimPrefix(path.Ext(f.Name), "."))
		switch {
		case f.Name == "" || strings.ContainsAny(f.Name, "\r\n"):
			return brevoError(400, "missing_parameter", "name is missing in attachment")
		case ext == "" || !strings.Contains(brevoFiles, " "+ext+" "):
			return invalid("Unsupported file format in attachment: %s", f.Name)
		case err != nil || len(data) == 0:
			return invalid("'content' is not valid in attachment")
		}
		msg.Attachments = append(msg.Attachments, upstreamtest.Attachment{Name: f.Name, Type: brevoTypes[ext], Data: data})
	}
	return nil
}
