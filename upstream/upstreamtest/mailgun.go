package upstreamtest

import (
	"bytes"
	"fmt"
	"io"
	stdmime "mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"slices"
	"strings"
)

// mailgunEnums are the values of form fields that have few,
// https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
var mailgunEnums = map[string][]string{
	"t:text": {"yes"}, "o:testmode": {"yes"},
	"o:dkim": {"yes", "no", "true", "false"}, "o:tracking-opens": {"yes", "no", "true", "false"},
	"o:require-tls": {"yes", "no", "true", "false"}, "o:skip-verification": {"yes", "no", "true", "false"},
	"o:tracking": {"yes", "no", "true", "false", "htmlonly"}, "o:tracking-clicks": {"yes", "no", "true", "false", "htmlonly"},
	"o:tracking-pixel-location-top": {"yes", "no", "true", "false", "htmlonly"},
}

// mailgunFields are the form fields without few values.
var mailgunFields = []string{"to", "template", "t:version", "t:variables", "o:tag", "o:secondary-dkim", "o:secondary-dkim-public",
	"o:deliverytime", "o:deliver-within", "o:deliverytime-optimize-period", "o:time-zone-localize", "o:sending-ip",
	"o:sending-ip-pool", "o:archive-to", "o:suppress-headers", "recipient-variables"}

// NewMailgun starts a fake of Mailgun for one domain; it knows messages.mime only.
func NewMailgun(key, domain string, opts ...Option) *Server {
	return NewServer("mailgun", key, mailgunAPI{domain}, opts)
}

type mailgunAPI struct{ domain string }

func mailgunError(status int, format string, args ...any) *Answer {
	return &Answer{status, nil, JSON(map[string]string{"message": fmt.Sprintf(format, args...)})}
}

func (mailgunAPI) Limit() int64 { return 25<<20 + 256<<10 }

func (mailgunAPI) TooLarge() *Answer { return mailgunError(413, "Request entity too large") }

func (mailgunAPI) Sends(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/messages.mime") && r.Method == http.MethodPost
}

func (mailgunAPI) Authorized(r *http.Request, key string) bool {
	user, pass, ok := r.BasicAuth()
	return ok && user == "api" && pass == key
}

func (mailgunAPI) Unauthorized(*http.Request) *Answer {
	return &Answer{401, http.Header{"Content-Type": {"text/plain"}}, "Forbidden"}
}

// other serves the domain, https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains
func (a mailgunAPI) Other(r *http.Request, acct *Account) *Answer {
	if name, ok := strings.CutPrefix(r.URL.Path, "/v4/domains/"); ok && r.Method == http.MethodGet {
		state := "active"
		for _, d := range acct.Domains {
			if d.Name == name {
				state = d.Status
			}
		}
		switch {
		case acct.SendOnly:
			return &Answer{401, http.Header{"Content-Type": {"text/plain"}}, "Forbidden"}
		case name != a.domain:
			return mailgunError(404, "Domain not found")
		}
		return &Answer{200, nil, JSON(map[string]any{"domain": map[string]string{"name": name, "state": state}})}
	}
	return &Answer{200, http.Header{"Content-Type": {"text/plain"}}, "Mailgun Magnificent API"}
}

func (mailgunAPI) Accepted(msg *Message) *Answer {
	return &Answer{200, nil, JSON(map[string]string{"id": "<" + msg.ID + ">", "message": "Queued. Thank you."})}
}

func (a mailgunAPI) Take(_ *Server, r *http.Request, body []byte, msg *Message) *Answer {
	domain := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v3/"), "/messages.mime")
	if strings.Contains(domain, "/") {
		return &Answer{200, http.Header{"Content-Type": {"text/plain"}}, "Mailgun Magnificent API"}
	}
	if domain != a.domain {
		return mailgunError(404, "Domain not found: %s", domain)
	}
	kind, params, err := stdmime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return mailgunError(400, "messages.mime takes multipart/form-data")
	}
	msg.Options, msg.Raw = map[string]string{}, nil
	if fault := readForm(multipart.NewReader(bytes.NewReader(body), params["boundary"]), msg); fault != nil {
		return fault
	}
	if len(msg.Recipients) == 0 {
		return mailgunError(400, "to parameter is missing")
	}
	if len(msg.Recipients) > 1000 {
		return mailgunError(400, "too many recipients")
	}
	if msg.Raw == nil {
		return mailgunError(400, "message parameter is missing")
	}
	if err := ReadRaw(msg); err != nil {
		return mailgunError(400, "%v", err)
	}
	return nil
}

func readForm(form *multipart.Reader, msg *Message) *Answer {
	options := 0
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return mailgunError(400, "the form cannot be read: %v", err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return mailgunError(400, "the form cannot be read: %v", err)
		}
		name := part.FormName()
		if strings.Contains(name, ":") {
			if options += len(name) + len(value); options > 16<<10 {
				return mailgunError(400, "Send options (parameters starting with o:, h:, v:, or t:) are limited to 16 kB total")
			}
		}
		if fault := formField(name, part.FileName(), value, msg); fault != nil {
			return fault
		}
	}
}

func formField(name, file string, value []byte, msg *Message) *Answer {
	enum, known := mailgunEnums[name]
	switch {
	case name == "message":
		if file == "" {
			return mailgunError(400, "message must be a file")
		}
		msg.Raw = value
		return nil
	case name == "to":
		return formRecipients(string(value), msg)
	case known && !slices.Contains(enum, string(value)):
		return mailgunError(400, "%s: %q is not allowed", name, value)
	case !known && !slices.Contains(mailgunFields, name) && !strings.HasPrefix(name, "v:") && !strings.HasPrefix(name, "h:"):
		return mailgunError(400, "%s is no parameter of messages.mime", name)
	}
	if old, ok := msg.Options[name]; ok {
		if name != "o:tag" {
			return mailgunError(400, "%s occurs twice", name)
		}
		value = []byte(old + "," + string(value))
	}
	msg.Options[name] = string(value)
	return nil
}

// formRecipients reads a `to` field. One address that is wrong fails the call without its name;
// duplicates are ignored silently.
func formRecipients(value string, msg *Message) *Answer {
	list, err := mail.ParseAddressList(value)
	if err != nil {
		return mailgunError(400, "'to' parameter is not a valid address. please check documentation.")
	}
	for _, a := range list {
		given := strings.Trim((&mail.Address{Address: a.Address}).String(), "<>") // net/mail takes the quotes off
		if CheckAddress(given) != nil {
			return mailgunError(400, "'to' parameter is not a valid address. please check documentation.")
		}
		addr := strings.ToLower(given)
		if !slices.Contains(msg.Recipients, addr) {
			msg.To = append(msg.To, given)
			msg.Recipients = append(msg.Recipients, addr)
		}
	}
	return nil
}
