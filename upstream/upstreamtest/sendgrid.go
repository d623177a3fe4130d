package upstreamtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// sendgridReserved: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send (headers)
var sendgridReserved = []string{"x-sg-id", "x-sg-eid", "received", "dkim-signature", "Content-Type", "Content-Transfer-Encoding",
	"To", "From", "Subject", "Reply-To", "CC", "BCC"}

// NewSendGrid starts a fake of SendGrid, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
func NewSendGrid(key string, opts ...Option) *Server {
	return NewServer("sendgrid", key, sendgridAPI{}, opts)
}

type sendgridAPI struct{}

type sendgridMailbox struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

type sendgridPersonalization struct {
	To            []sendgridMailbox `json:"to"`
	Cc            []sendgridMailbox `json:"cc"`
	Bcc           []sendgridMailbox `json:"bcc"`
	CustomArgs    StringMap         `json:"custom_args"`
	SendAt        json.Number       `json:"send_at"`
	Substitutions StringMap         `json:"substitutions"`
}

type sendgridFlag struct {
	Enable     *bool `json:"enable"`
	EnableText *bool `json:"enable_text,omitempty"`
	sendgridDetails
}

// sendgridDetails are those of single settings of tracking.
type sendgridDetails struct {
	Text, HTML string
	Tag        string `json:"substitution_tag"`
	Source     string `json:"utm_source"`
	Medium     string `json:"utm_medium"`
	Term       string `json:"utm_term"`
	Content    string `json:"utm_content"`
	Campaign   string `json:"utm_campaign"`
}

type sendgridRequest struct {
	Personalizations []sendgridPersonalization `json:"personalizations"`
	From             *sendgridMailbox          `json:"from"`
	ReplyTo          *sendgridMailbox          `json:"reply_to"`
	ReplyToList      []sendgridMailbox         `json:"reply_to_list"`
	Subject          string                    `json:"subject"`
	Content          []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"content"`
	Headers     StringMap `json:"headers"`
	Categories  []string  `json:"categories"`
	Attachments []struct {
		Filename    *string `json:"filename"`
		Type        string  `json:"type"`
		Disposition string  `json:"disposition"`
		ContentID   string  `json:"content_id"`
		Content     string  `json:"content"`
	} `json:"attachments"`
	MailSettings struct {
		SandboxMode sendgridFlag `json:"sandbox_mode"`
	} `json:"mail_settings"`
	TrackingSettings map[string]sendgridFlag `json:"tracking_settings"`
	Sections         StringMap               `json:"sections"`
	Pool             string                  `json:"ip_pool_name"`
	Group            *struct {
		ID      int   `json:"group_id"`
		Display []int `json:"groups_to_display"`
	} `json:"asm"`
}

// sendgridFault is a broken rule and where.
type sendgridFault struct{ field, message string }

func fault(field, format string, args ...any) *sendgridFault {
	return &sendgridFault{field, fmt.Sprintf(format, args...)}
}

func sendgridError(status int, field, message string) *Answer {
	one := map[string]any{"message": message, "field": nil, "help": nil}
	if field != "" {
		one["field"] = field
	}
	return &Answer{status, nil, JSON(map[string]any{"errors": []any{one}})}
}

func (sendgridAPI) Limit() int64 { return 30 << 20 }

func (sendgridAPI) TooLarge() *Answer { return sendgridError(413, "", "Payload Too Large") }

func (sendgridAPI) Sends(r *http.Request) bool {
	return r.URL.Path == "/v3/mail/send" && r.Method == http.MethodPost
}

func (sendgridAPI) Authorized(r *http.Request, key string) bool {
	return r.Header.Get("Authorization") == "Bearer "+key
}

func (sendgridAPI) Unauthorized(*http.Request) *Answer {
	return sendgridError(401, "", "The provided authorization grant is invalid, expired, or revoked")
}

func (sendgridAPI) Accepted(msg *Message) *Answer {
	h := http.Header{"X-Message-Id": {msg.ID}}
	if msg.Options["sandbox"] == "true" {
		return &Answer{200, h, ""}
	}
	return &Answer{202, h, ""}
}

// notVerified: https://www.twilio.com/docs/sendgrid/for-developers/sending-email/sender-identity
const notVerified = "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved."

func (sendgridAPI) Take(s *Server, r *http.Request, body []byte, msg *Message) *Answer {
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		return sendgridError(415, "", "Content-Type should be application/json.")
	}
	var req sendgridRequest
	if err := DecodeStrict(body, &req); err != nil {
		return sendgridError(400, "", "Bad Request: "+err.Error())
	}
	for _, check := range []func(*Message) *sendgridFault{req.people, req.bodies, req.settings, req.files} {
		if f := check(msg); f != nil {
			return sendgridError(400, f.field, f.message)
		}
	}
	if known := s.account.senders; len(known) > 0 && !slices.Contains(known, req.From.Email) {
		return sendgridError(403, "from", notVerified)
	}
	return nil
}

func (b sendgridMailbox) String() string {
	if b.Name == "" {
		return b.Email
	}
	return b.Name + " <" + b.Email + ">"
}

func (req *sendgridRequest) people(msg *Message) *sendgridFault {
	if req.From == nil || CheckAddress(req.From.Email) != nil {
		return fault("from.email", "The from email does not contain a valid address.")
	}
	msg.From = req.From.String()
	if req.ReplyTo != nil && req.ReplyToList != nil {
		return fault("reply_to", "The reply_to and reply_to_list cannot be used together.")
	}
	replies := req.ReplyToList
	if req.ReplyTo != nil {
		replies = []sendgridMailbox{*req.ReplyTo}
	}
	unique := map[string]bool{}
	for _, b := range replies {
		if CheckAddress(b.Email) != nil || unique[strings.ToLower(b.Email)] {
			return fault("reply_to_list", "%s is no address or not unique", b.Email)
		}
		unique[strings.ToLower(b.Email)] = true
		msg.ReplyTo = append(msg.ReplyTo, b.String())
	}
	if len(req.Personalizations) == 0 {
		return fault("personalizations", "The personalizations field is required and must have at least one personalization.")
	}
	if len(req.Personalizations) > 1000 {
		return fault("personalizations", "There is a limit of 1000 personalizations per request.")
	}
	total := 0
	msg.Apart = len(req.Personalizations) > 1
	msg.Options = map[string]string{}
	for i, p := range req.Personalizations {
		if f := p.people(i, msg); f != nil {
			return f
		}
		total += len(p.To) + len(p.Cc) + len(p.Bcc)
		msg.Apart = msg.Apart && len(p.To) == 1 && len(p.Cc)+len(p.Bcc) == 0
		for k, v := range p.CustomArgs {
			msg.Options[k] = v
		}
		for k, v := range p.Substitutions {
			msg.Options["sub "+k] = v
		}
		if p.SendAt != "" {
			msg.Options["send_at"] = p.SendAt.String()
		}
	}
	if total > 1000 {
		return fault("personalizations", "There is a limit of 1000 total recipients (to + cc + bcc) per request.")
	}
	return nil
}

func (p *sendgridPersonalization) people(i int, msg *Message) *sendgridFault {
	if len(p.To) == 0 {
		return fault(fmt.Sprintf("personalizations.%d.to", i), "The to array is required for all personalization objects, and must have at least one email object with a valid email address.")
	}
	size := 0
	for k, v := range p.CustomArgs {
		size += len(k) + len(v)
	}
	if size > 10_000 {
		return fault(fmt.Sprintf("personalizations.%d.custom_args", i), "more than 10000 bytes")
	}
	seen := map[string]bool{}
	for _, list := range []struct {
		name string
		in   []sendgridMailbox
		out  *[]string
	}{{"to", p.To, &msg.To}, {"cc", p.Cc, &msg.Cc}, {"bcc", p.Bcc, &msg.Bcc}} {
		for n, b := range list.in {
			field := fmt.Sprintf("personalizations.%d.%s.%d.email", i, list.name, n)
			if CheckAddress(b.Email) != nil {
				return fault(field, "Does not contain a valid address.")
			}
			if strings.ContainsAny(b.Name, ";,\r\n") {
				return fault(strings.TrimSuffix(field, "email")+"name", "The name must not contain ; or ,")
			}
			addr := strings.ToLower(b.Email)
			if seen[addr] {
				return fault(fmt.Sprintf("personalizations.%d", i), "Each email address in the personalization block should be unique between to, cc, and bcc. We found the first duplicate instance of [%s] in the personalizations.%d.%s field.", addr, i, list.name)
			}
			seen[addr] = true
			*list.out = append(*list.out, b.String())
			msg.Recipients = append(msg.Recipients, addr)
		}
	}
	return nil
}

func (req *sendgridRequest) bodies(msg *Message) *sendgridFault {
	if req.Subject == "" {
		return fault("subject", "The subject is required.")
	}
	msg.Subject = req.Subject
	if len(req.Content) == 0 {
		return fault("content", "Unless a valid template_id is provided, the content parameter is required.")
	}
	order := 0
	for i, c := range req.Content {
		rank := map[string]int{"text/plain": 1, "text/html": 2}[c.Type]
		if c.Type == "" || strings.ContainsAny(c.Type, "\r\n") {
			return fault(fmt.Sprintf("content.%d.type", i), "The content type is required.")
		}
		if c.Value == "" {
			return fault(fmt.Sprintf("content.%d.value", i), "The content value must be a string at least one character in length.")
		}
		if rank == 0 {
			rank = 3
		}
		if rank < order || rank == order && rank < 3 {
			return fault("content", "If present, text/plain must be first, followed by text/html, followed by any other content.")
		}
		switch order = rank; rank {
		case 1:
			msg.Text = c.Value
		case 2:
			msg.HTML = c.Value
		default:
			msg.Alternatives = append(msg.Alternatives, Alternative{c.Type, c.Value})
		}
	}
	return nil
}

func (req *sendgridRequest) settings(msg *Message) *sendgridFault {
	if err := HeaderNames(req.Headers, sendgridReserved); err != nil {
		return fault("headers", "%v", err)
	}
	var err error
	if msg.Headers, err = EncodedHeaders(req.Headers); err != nil {
		return fault("headers", "%v", err)
	}
	if p := req.Pool; p != "" && (len(p) < 2 || len(p) > 64) {
		return fault("ip_pool_name", "The length is 2 to 64.")
	}
	msg.Options["ip_pool"] = req.Pool
	for k, v := range req.Sections {
		msg.Options["section "+k] = v
	}
	if req.Group != nil {
		msg.Options["asm"] = fmt.Sprint(*req.Group)
	}
	if len(req.Categories) > 10 {
		return fault("categories", "You cannot have more than 10 categories per request.")
	}
	unique := map[string]bool{}
	for i, c := range req.Categories {
		if len(c) > 255 || unique[c] {
			return fault(fmt.Sprintf("categories.%d", i), "A category is too long or not unique.")
		}
		unique[c] = true
	}
	msg.Options["categories"] = strings.Join(req.Categories, ",")
	if e := req.MailSettings.SandboxMode.Enable; e != nil && *e {
		msg.Options["sandbox"] = "true"
	}
	for _, name := range []string{"click_tracking", "open_tracking", "subscription_tracking"} {
		if f := req.TrackingSettings[name]; f.Enable == nil || *f.Enable {
			msg.Options[name] = strings.TrimSpace("on " + f.Tag) // the account's setting holds, which is on by default
		}
	}
	return nil
}

func (req *sendgridRequest) files(msg *Message) *sendgridFault {
	for i, a := range req.Attachments {
		field := fmt.Sprintf("attachments.%d.", i)
		data, err := DecodeFile(a.Content)
		switch {
		case a.Content == "" || err != nil:
			return fault(field+"content", "The attachment content must be base64 encoded.")
		case a.Filename == nil || strings.ContainsAny(*a.Filename, "\r\n"):
			return fault(field+"filename", "The attachment filename is required and cannot contain CRLF characters.")
		case a.Type == "" || strings.ContainsAny(a.Type, ";\r\n"):
			return fault(field+"type", "The attachment type cannot contain ';', or CRLF characters.")
		case a.Disposition != "" && a.Disposition != "inline" && a.Disposition != "attachment":
			return fault(field+"disposition", `The disposition can be either "inline" or "attachment".`)
		case strings.ContainsAny(a.ContentID, ";\r\n"):
			return fault(field+"content_id", "The attachment content_id cannot contain ';', or CRLF characters.")
		case a.Disposition == "inline" && a.ContentID == "":
			return fault(field+"content_id", "The content_id is required for inline attachments.")
		}
		msg.Attachments = append(msg.Attachments, Attachment{Name: *a.Filename, Type: a.Type, ContentID: a.ContentID,
			Inline: a.Disposition == "inline", Data: data})
	}
	return nil
}
