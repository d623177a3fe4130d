package fakes

import (
	"net/http"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// NewSparkPost starts a fake of SparkPost, https://developers.sparkpost.com/api/transmissions/
// Addresses that begin with refused@ have no part in a transmission, and the answer says so; of unnamed@ it gives no name.
func NewSparkPost(key string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("sparkpost", key, sparkpost{}, opts)
}

type sparkpost struct{}

func sparkpostError(status int, code, message, description string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(map[string]any{
		"errors": []map[string]string{{"code": code, "message": message, "description": description}}})}
}

func (sparkpost) Limit() int64 { return 42 << 20 }

func (sparkpost) TooLarge() *upstreamtest.Answer {
	return sparkpostError(413, "", "Request Entity Too Large", "")
}

func (sparkpost) Sends(r *http.Request) bool {
	return r.URL.Path == "/api/v1/transmissions" && r.Method == http.MethodPost
}

func (sparkpost) Authorized(r *http.Request, key string) bool {
	return r.Header.Get("Authorization") == key
}

func (sparkpost) Unauthorized(*http.Request) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 401, Body: `{"errors":[{"message":"Unauthorized."}]}`}
}

func (sparkpost) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	if r.URL.Path != "/api/v1/sending-domains" || r.Method != http.MethodGet {
		return nil
	}
	if acct.SendOnly {
		return &upstreamtest.Answer{Status: 403, Body: `{"errors":[{"message":"Forbidden."}]}`}
	}
	list := []map[string]any{}
	for _, d := range acct.Domains {
		list = append(list, map[string]any{"domain": d.Name, "status": map[string]any{"ownership_verified": d.Status != "pending", "compliance_status": d.Status}})
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"results": list})}
}

func (sparkpost) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	faults := []map[string]string{}
	for a, why := range msg.Refused {
		faults = append(faults, map[string]string{"code": "1300", "message": "invalid data format/type/length", "description": why + a})
		if why == "unnamed" {
			faults[len(faults)-1]["description"] = "address.email is malformed"
		}
	}
	results := map[string]any{"total_accepted_recipients": len(msg.Recipients), "total_rejected_recipients": len(faults), "id": msg.ID}
	answer := map[string]any{"results": results}
	if len(faults) > 0 {
		results["rcpt_to_errors"] = faults
		answer["errors"] = []map[string]string{{"code": "2000", "message": "transmission created, but with validation errors"}}
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(answer)}
}

func (sparkpost) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	var req struct {
		Options struct {
			OpenTracking  *bool `json:"open_tracking"`
			ClickTracking *bool `json:"click_tracking"`
			Transactional bool  `json:"transactional"`
		} `json:"options"`
		Metadata   upstreamtest.StringMap `json:"metadata"`
		Recipients []struct {
			Address struct {
				Email string `json:"email"`
			} `json:"address"`
		} `json:"recipients"`
		Content struct {
			RFC822 string `json:"email_rfc822"`
		} `json:"content"`
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return sparkpostError(415, "1700", "Unsupported Content-Type header", "")
	}
	if err := upstreamtest.DecodeStrict(body, &req); err != nil {
		return sparkpostError(422, "1300", "invalid data format/type/length", err.Error())
	}
	if o := req.Options; o.OpenTracking == nil || *o.OpenTracking || o.ClickTracking == nil || *o.ClickTracking || !o.Transactional {
		return sparkpostError(422, "1301", "Invalid combination of fields", "mail would be tracked, or is not transactional")
	}
	if n := len(upstreamtest.JSON(req.Metadata)); n > 1000 {
		return sparkpostError(422, "1300", "invalid data format/type/length", "metadata of more than 1000 bytes")
	}
	msg.Options = req.Metadata
	var list []string
	for _, r := range req.Recipients {
		list = append(list, r.Address.Email)
	}
	if len(list) == 0 {
		return sparkpostError(400, "5002", "No valid recipients in list", "")
	}
	if fault := takeRecipients(msg, list); fault != "" {
		return sparkpostError(422, "1300", "invalid data format/type/length", fault)
	}
	if len(req.Content.RFC822) > 20<<20 {
		return sparkpostError(422, "1300", "invalid data format/type/length", "content exceeds the limit of 20 MB")
	}
	if fault := takeText(msg, req.Content.RFC822); fault != "" {
		return sparkpostError(422, "3020", "template mime parsing error", fault)
	}
	for _, text := range []string{strings.Join(strings.Fields(msg.Subject), ""), msg.Text, msg.HTML} {
		if strings.Contains(text, "{{") {
			return sparkpostError(422, "3000", "template language syntax error", "Error while compiling header or part")
		}
	}
	refuseSome(msg, func(address string) string {
		local, _, _ := strings.Cut(address, "@")
		return map[string]string{"refused": "malformed recipient ", "unnamed": "unnamed"}[local]
	})
	return nil
}
