package upstreamtest

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// resendReserved are headers that have fields of their own or belong to the MIME structure.
var resendReserved = []string{"From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version",
	"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Received", "Return-Path", "DKIM-Signature"}

// resendExtensions are file names whose type is beyond doubt; another type makes Resend swallow the mail.
var resendExtensions = map[string]string{".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
	".gif": "image/gif", ".txt": "text/plain", ".csv": "text/csv", ".html": "text/html", ".ics": "text/calendar", ".zip": "application/zip",
	".eml": "message/rfc822"}

// NewResend starts a fake of Resend, https://resend.com/docs/api-reference/emails/send-email
func NewResend(key string, opts ...Option) *Server {
	return NewServer("resend", key, resendAPI{}, opts)
}

type resendAPI struct{}

type resendRequest struct {
	From        string     `json:"from"`
	To          StringList `json:"to"`
	Cc          StringList `json:"cc"`
	Bcc         StringList `json:"bcc"`
	ReplyTo     StringList `json:"reply_to"`
	Subject     *string    `json:"subject"`
	HTML        *string    `json:"html"`
	Text        *string    `json:"text"`
	Headers     StringMap  `json:"headers"`
	Attachments []struct {
		Filename    string `json:"filename"`
		ContentType string `json:"content_type"`
		ContentID   string `json:"content_id"`
		Content     string `json:"content"`
	} `json:"attachments"`
}

func resendError(status int, name, message string) *Answer {
	return &Answer{status, nil, JSON(map[string]any{"statusCode": status, "name": name, "message": message})}
}

func (resendAPI) Limit() int64 { return 40 << 20 }

func (resendAPI) TooLarge() *Answer {
	return resendError(413, "validation_error", "The request is larger than 40 MB.")
}

func (resendAPI) Sends(r *http.Request) bool {
	return r.URL.Path == "/emails" && r.Method == http.MethodPost
}

func (resendAPI) Authorized(r *http.Request, key string) bool {
	return r.Header.Get("Authorization") == "Bearer "+key
}

func (resendAPI) Unauthorized(r *http.Request) *Answer {
	if r.Header.Get("Authorization") == "" {
		return resendError(401, "missing_api_key", "Missing API key in the authorization header.")
	}
	return resendError(403, "invalid_api_key", "API key is invalid.")
}

// other serves the list of domains, https://resend.com/docs/api-reference/domains/list-domains
func (resendAPI) Other(r *http.Request, acct *Account) *Answer {
	if r.URL.Path != "/domains" || r.Method != http.MethodGet {
		return nil
	}
	if acct.SendOnly {
		return resendError(401, "restricted_api_key", "This API key is restricted to only send emails")
	}
	list := []map[string]string{}
	for _, d := range acct.Domains {
		list = append(list, map[string]string{"id": "id-" + d.Name, "name": d.Name, "status": d.Status, "region": "us-east-1"})
	}
	return &Answer{200, nil, JSON(map[string]any{"object": "list", "has_more": false, "data": list})}
}

func (resendAPI) Accepted(msg *Message) *Answer {
	return &Answer{200, nil, JSON(map[string]string{"id": msg.ID})}
}

func (resendAPI) Take(_ *Server, r *http.Request, body []byte, msg *Message) *Answer {
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		return resendError(415, "validation_error", "Content-Type is "+ct)
	}
	if r.Header.Get("User-Agent") == "" {
		return resendError(403, "1010", "a User-Agent is required")
	}
	if n := len(msg.IdempotencyKey); n > 256 {
		return resendError(400, "invalid_idempotency_key", "The key must be between 1-256 chars.")
	}
	var req resendRequest
	if err := DecodeStrict(body, &req); err != nil {
		return resendError(422, "validation_error", err.Error())
	}
	for _, f := range req.Attachments {
		if f.Content == "" {
			return resendError(422, "invalid_attachment", "The attachment content is empty.")
		}
	}
	if err := req.fill(msg); err != nil {
		return resendError(422, "validation_error", err.Error())
	}
	return nil
}

func (req *resendRequest) fill(msg *Message) error {
	if _, err := Mailbox(req.From); err != nil {
		return fmt.Errorf("Invalid `from` field. %w", err)
	}
	if req.Subject == nil || *req.Subject == "" {
		return fmt.Errorf("Missing `subject` field.")
	}
	if (req.HTML == nil || *req.HTML == "") && (req.Text == nil || *req.Text == "") {
		return fmt.Errorf("Missing `html` or `text` field.")
	}
	if req.Text == nil {
		return fmt.Errorf("without `text` one would be made up from `html`")
	}
	if err := req.recipients(msg); err != nil {
		return err
	}
	if err := HeaderNames(req.Headers, resendReserved); err != nil {
		return err
	}
	msg.From, msg.Subject, msg.Text, msg.Headers = req.From, *req.Subject, *req.Text, req.Headers
	if req.HTML != nil {
		msg.HTML = *req.HTML
	}
	return req.files(msg)
}

func (req *resendRequest) recipients(msg *Message) error {
	if len(req.To) == 0 {
		return fmt.Errorf("Missing `to` field.")
	}
	if len(req.To) > 50 || len(req.To)+len(req.Cc)+len(req.Bcc) > 50 {
		return fmt.Errorf("there are more than 50 recipients")
	}
	seen := map[string]bool{}
	for _, list := range []struct {
		name string
		in   StringList
	}{{"to", req.To}, {"cc", req.Cc}, {"bcc", req.Bcc}, {"reply_to", req.ReplyTo}} {
		for _, s := range list.in {
			addr, err := Mailbox(s)
			if err != nil {
				return fmt.Errorf("Invalid `%s` field. %w", list.name, err)
			}
			if list.name == "reply_to" {
				continue
			}
			addr = strings.ToLower(addr)
			if seen[addr] {
				return fmt.Errorf("%s is there twice", addr)
			}
			seen[addr] = true
			msg.Recipients = append(msg.Recipients, addr)
		}
	}
	msg.To, msg.Cc, msg.Bcc, msg.ReplyTo = req.To, req.Cc, req.Bcc, req.ReplyTo
	return nil
}

func (req *resendRequest) files(msg *Message) error {
	for _, f := range req.Attachments {
		if f.Filename == "" || strings.ContainsAny(f.Filename, "\r\n") {
			return fmt.Errorf("an attachment has no proper filename: the mail would never arrive")
		}
		data, err := DecodeFile(f.Content)
		if err != nil {
			return fmt.Errorf("attachment %s: %w", f.Filename, err)
		}
		mediaType, _, _ := strings.Cut(f.ContentType, ";")
		want, known := resendExtensions[strings.ToLower(path.Ext(f.Filename))]
		if known && mediaType != want && mediaType != "application/octet-stream" {
			return fmt.Errorf("attachment %s of type %s: the mail would never arrive", f.Filename, f.ContentType)
		}
		msg.Attachments = append(msg.Attachments, Attachment{Name: f.Filename, Type: f.ContentType, ContentID: f.ContentID,
			Inline: f.ContentID != "", Data: data})
	}
	return nil
}
