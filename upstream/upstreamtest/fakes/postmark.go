package fakes

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// NewPostmark starts a fake of Postmark, https://postmarkapp.com/developer/api/email-api.
// Recipients named inactive@ are inactive. It has the streams outbound and inbound.
func NewPostmark(token string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("postmark", token, postmarkAPI{}, opts)
}

type postmarkAPI struct{}

func postmarkError(status, code int, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(map[string]any{"ErrorCode": code, "Message": message})}
}

func (postmarkAPI) Limit() int64 { return 10 << 20 }

func (postmarkAPI) TooLarge() *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 413, Body: "Payload Too Large"}
}

func (postmarkAPI) Sends(r *http.Request) bool {
	return r.URL.Path == "/email" && r.Method == http.MethodPost
}

func (postmarkAPI) Authorized(r *http.Request, key string) bool {
	return r.Header.Get("X-Postmark-Server-Token") == key
}

func (postmarkAPI) Unauthorized(*http.Request) *upstreamtest.Answer {
	return postmarkError(401, 10, "Request does not contain a valid Server token.")
}

// Other serves the server, a sandbox or one that tracks opens where the scopes say so, and its streams.
func (postmarkAPI) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	if r.Method != http.MethodGet {
		return nil
	}
	stream, ok := strings.CutPrefix(r.URL.Path, "/message-streams/")
	switch {
	case r.URL.Path == "/server":
		kind := "Live"
		if slices.Contains(acct.Scopes, "sandbox") {
			kind = "Sandbox"
		}
		return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"ID": 1, "Name": "Production", "DeliveryType": kind,
			"TrackOpens": slices.Contains(acct.Scopes, "tracking"), "TrackLinks": "None", "SmtpApiActivated": true})}
	case ok && stream == "outbound":
		return &upstreamtest.Answer{Status: 200, Body: `{"ID":"outbound","MessageStreamType":"Transactional"}`}
	case ok && stream == "inbound":
		return &upstreamtest.Answer{Status: 200, Body: `{"ID":"inbound","MessageStreamType":"Inbound"}`}
	case ok:
		return postmarkError(422, 1226, "The message stream for the provided 'ID' was not found.")
	}
	return nil
}

func (postmarkAPI) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	message := "OK"
	if left := msg.Options["inactive"]; left != "" {
		message = "Message OK, but will not deliver to these inactive addresses: " + left +
			". Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression."
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"To": strings.Join(msg.To, ", "),
		"SubmittedAt": "2026-11-30T12:00:00.0000000-05:00", "MessageID": msg.ID, "ErrorCode": 0, "Message": message})}
}

type postmarkRequest struct {
	From, To, Cc, Bcc, ReplyTo, Subject, Tag string
	HTMLBody                                 *string `json:"HtmlBody"`
	TextBody                                 *string
	Headers                                  []struct{ Name, Value string }
	MessageStream                            string
	Metadata                                 upstreamtest.StringMap
	TrackOpens                               *bool
	TrackLinks                               string
	Attachments                              []struct{ Name, ContentType, ContentID, Content string }
}

// postmarkHeaders are fields that have a place of their own.
var postmarkHeaders = []string{"From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"Received", "Return-Path", "DKIM-Signature", "X-PM-Tag", "X-PM-Message-Stream"}

// postmarkBarred: https://postmarkapp.com/developer/user-guide/send-email-with-api (forbidden file types)
const postmarkBarred = " vbs exe bin bat chm com cpl crt hlp hta inf ins isp jse lnk mdb pcd pif reg scr sct shs vbe vba wsf wsh wsl msc msi msp mst "

// fault300 is one of the request's fields.
func fault300(format string, args ...any) *upstreamtest.Answer {
	return postmarkError(422, 300, fmt.Sprintf(format, args...))
}

func (postmarkAPI) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/json" {
		return postmarkError(422, 409, "Content-Type and Accept must be application/json")
	}
	msg.RequestHeader.Del("X-Postmark-Server-Token")
	var req postmarkRequest
	if err := upstreamtest.DecodeStrict(body, &req); err != nil {
		return postmarkError(422, 402, err.Error())
	}
	msg.Options = map[string]string{"stream": req.MessageStream, "tag": req.Tag, "TrackLinks": req.TrackLinks}
	for _, check := range []func(*upstreamtest.Message) *upstreamtest.Answer{req.people, req.bodies, req.extras, req.files} {
		if a := check(msg); a != nil {
			return a
		}
	}
	return nil
}

func (req *postmarkRequest) people(msg *upstreamtest.Message) *upstreamtest.Answer {
	if _, err := upstreamtest.Mailbox(req.From); err != nil {
		return fault300("Invalid 'From' address: '%s'.", req.From)
	}
	msg.From = req.From
	if req.To == "" {
		return fault300("Zero recipients specified")
	}
	var left []string
	for _, list := range []struct {
		name, in string
		out      *[]string
	}{{"To", req.To, &msg.To}, {"Cc", req.Cc, &msg.Cc}, {"Bcc", req.Bcc, &msg.Bcc}, {"ReplyTo", req.ReplyTo, &msg.ReplyTo}} {
		for _, s := range splitList(list.in) {
			addr, err := upstreamtest.Mailbox(s)
			if err != nil {
				_, domain, _ := strings.Cut(s, "@")
				return fault300("Error parsing '%s': Illegal email domain '%s' in address '%s'.", list.name, domain, s)
			}
			*list.out = append(*list.out, s)
			switch addr = strings.ToLower(addr); {
			case list.name == "ReplyTo":
			case slices.Contains(msg.Recipients, addr):
				return fault300("%s is there twice", addr)
			case strings.HasPrefix(addr, "inactive@"):
				left = append(left, addr)
			default:
				msg.Recipients = append(msg.Recipients, addr)
			}
		}
	}
	if len(msg.Recipients)+len(left) > 50 {
		return fault300("Too many recipients: at most 50 in To, Cc and Bcc together.")
	}
	if msg.Options["inactive"] = strings.Join(left, ", "); len(msg.Recipients) == 0 {
		return postmarkError(422, 406, "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: "+
			msg.Options["inactive"]+". Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression.")
	}
	return nil
}

// splitList splits mailboxes at commas that are not quoted.
func splitList(s string) (list []string) {
	quoted, escaped, from := false, false, 0
	for i, r := range s {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quoted:
			escaped = true
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			list, from = append(list, strings.TrimSpace(s[from:i])), i+1
		}
	}
	if rest := strings.TrimSpace(s[from:]); rest != "" {
		list = append(list, rest)
	}
	return list
}

func (req *postmarkRequest) bodies(msg *upstreamtest.Message) *upstreamtest.Answer {
	if (req.HTMLBody == nil || *req.HTMLBody == "") && (req.TextBody == nil || *req.TextBody == "") {
		return fault300("Provide either email TextBody or HtmlBody or both.")
	}
	for _, b := range []struct {
		in  *string
		out *string
	}{{req.HTMLBody, &msg.HTML}, {req.TextBody, &msg.Text}} {
		if b.in != nil {
			*b.out = *b.in
		}
		if len(*b.out) > 5<<20 {
			return fault300("The body is larger than 5 MB")
		}
	}
	msg.Subject = req.Subject
	return nil
}

func (req *postmarkRequest) extras(msg *upstreamtest.Message) *upstreamtest.Answer {
	headers, seen := upstreamtest.StringMap{}, map[string]bool{}
	for _, h := range req.Headers {
		if seen[strings.ToLower(h.Name)] {
			return fault300("the header %s is there twice", h.Name)
		}
		seen[strings.ToLower(h.Name)] = true
		headers[h.Name] = h.Value
	}
	if err := upstreamtest.HeaderNames(headers, postmarkHeaders); err != nil {
		return fault300("%v", err)
	}
	msg.Headers = headers
	for k, v := range req.Metadata {
		if len(req.Metadata) > 10 || len(k) > 20 || len(v) > 80 {
			return fault300("Invalid metadata content. There can be 10 fields, names of 20 and values of 80 characters")
		}
		msg.Options[k] = v
	}
	if len(req.Tag) > 1000 {
		return fault300("The tag is longer than 1000 characters")
	}
	if req.TrackOpens == nil || *req.TrackOpens {
		msg.Options["TrackOpens"] = "on"
	}
	if req.MessageStream != "" && req.MessageStream != "outbound" {
		return postmarkError(422, 1235, "The 'MessageStream' provided does not exist on this server.")
	}
	return nil
}

func (req *postmarkRequest) files(msg *upstreamtest.Message) *upstreamtest.Answer {
	for _, f := range req.Attachments {
		data, err := upstreamtest.DecodeFile(f.Content)
		ext := strings.ToLower(strings.TrimPrefix(path.Ext(f.Name), "."))
		cid, inline := strings.CutPrefix(f.ContentID, "cid:")
		switch {
		case f.Name == "" || strings.ContainsAny(f.Name, "\r\n") || f.ContentType == "":
			return fault300("Attachments need a name and a type")
		case err != nil:
			return fault300("The attachment %s: %v", f.Name, err)
		case len(data) == 0:
			return fault300("Zero-sized attachments not allowed.")
		case ext != "" && strings.Contains(postmarkBarred, " "+ext+" "):
			return postmarkError(422, 411, "Forbidden attachment type: "+f.Name)
		case f.ContentID != "" && !inline:
			return fault300("ContentID must begin with cid:")
		}
		msg.Attachments = append(msg.Attachments, upstreamtest.Attachment{Name: f.Name, Type: f.ContentType, ContentID: cid, Inline: inline, Data: data})
	}
	return nil
}
