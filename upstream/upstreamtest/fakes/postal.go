// Package fakes has the fakes of providers that take a message as it is, and of those that take it apart.
package fakes

import (
	"encoding/base64"
	"net/http"

	"mailhatch/upstream/upstreamtest"
)

// NewPostal starts a fake of a Postal server, https://docs.postalserver.io/developer/api
func NewPostal(key string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("postal", key, postal{}, opts)
}

type postal struct{}

func postalError(code, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"status": "error", "time": 0.01, "flags": map[string]any{},
		"data": map[string]string{"code": code, "message": message}})}
}

func (postal) Limit() int64 { return 80 << 20 }

func (postal) TooLarge() *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 413, Body: "Request Entity Too Large"}
}

func (postal) Sends(r *http.Request) bool {
	return r.URL.Path == "/api/v1/send/raw" && r.Method == http.MethodPost
}

func (postal) Authorized(r *http.Request, key string) bool {
	return r.Header.Get("X-Server-Api-Key") == key
}

func (postal) Unauthorized(r *http.Request) *upstreamtest.Answer {
	if r.Header.Get("X-Server-Api-Key") == "" {
		return postalError("AccessDenied", "Must be authenticated as a server.")
	}
	return postalError("InvalidServerAPIKey", "The API token provided in X-Server-API-Key was not valid.")
}

// Other knows no message.
func (postal) Other(r *http.Request, _ *upstreamtest.Account) *upstreamtest.Answer {
	if r.URL.Path != "/api/v1/messages/message" {
		return nil
	}
	return postalError("MessageNotFound", "No message found matching provided ID")
}

func (postal) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	messages := map[string]any{}
	for i, a := range msg.Recipients {
		messages[a] = map[string]any{"id": i + 1, "token": "t"}
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"status": "success", "time": 0.01, "flags": map[string]any{},
		"data": map[string]any{"message_id": msg.ID, "messages": messages}})}
}

func (postal) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	var req struct {
		MailFrom string   `json:"mail_from"`
		RcptTo   []string `json:"rcpt_to"`
		Data     string   `json:"data"`
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return postalError("ValidationError", "the parameters are no JSON")
	}
	if err := upstreamtest.DecodeStrict(body, &req); err != nil {
		return postalError("ValidationError", err.Error())
	}
	if len(req.RcptTo) == 0 {
		return postalError("NoRecipients", "There are no recipients defined to receive this message")
	}
	if upstreamtest.CheckAddress(req.MailFrom) != nil {
		return postalError("UnauthenticatedFromAddress", "The From address is not authorised to send mail from this server")
	}
	if fault := takeRecipients(msg, req.RcptTo); fault != "" {
		return postalError("ValidationError", fault)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(req.Data)
	if err != nil {
		return postalError("ValidationError", "data is no base64")
	}
	msg.Raw = raw
	if err := upstreamtest.ReadRaw(msg); err != nil {
		return postalError("ValidationError", err.Error())
	}
	return nil
}
