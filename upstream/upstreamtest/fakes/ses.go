package fakes

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream/upstreamtest"
)

// SESKeyID is the access key id whose secret the fake is started with.
const SESKeyID = "AKIDEXAMPLE"

// NewSES starts a fake of Amazon SES v2 in us-east-1, https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html.
// It computes each signature anew. token is the session token that requests must carry, "" for none.
func NewSES(secret, token string, opts ...upstreamtest.Option) *upstreamtest.Server {
	return upstreamtest.NewServer("ses", secret, sesAPI{token}, opts)
}

type sesAPI struct{ token string }

func sesError(status int, kind, message string) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Header: http.Header{"X-Amzn-Errortype": {kind + ":http://internal.amazon.com/"}},
		Body: upstreamtest.JSON(map[string]string{"message": message})}
}

func (sesAPI) Limit() int64 { return 60 << 20 }

func (sesAPI) TooLarge() *upstreamtest.Answer {
	return sesError(413, "RequestEntityTooLargeException", "Request Entity Too Large")
}

func (sesAPI) Sends(r *http.Request) bool {
	return r.URL.Path == "/v2/email/outbound-emails" && r.Method == http.MethodPost
}

// Authorized computes the signature, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
// The hash of the body is taken from the request: Take holds it against the body.
func (a sesAPI) Authorized(r *http.Request, key string) bool {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	fields := map[string]string{}
	for f := range strings.SplitSeq(auth, ", ") {
		name, value, _ := strings.Cut(f, "=")
		fields[name] = value
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if !ok || err != nil || time.Since(at).Abs() > 5*time.Minute || r.Header.Get("X-Amz-Security-Token") != a.token {
		return false
	}
	service := "ses"
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.") {
		service = "sqs"
	}
	scope := date[:8] + "/us-east-1/" + service + "/aws4_request"
	if fields["Credential"] != SESKeyID+"/"+scope {
		return false
	}
	names := strings.Split(fields["SignedHeaders"], ";")
	if !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") || a.token != "" && !slices.Contains(names, "x-amz-security-token") {
		return false
	}
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n")
	for _, name := range names {
		value := strings.TrimSpace(r.Header.Get(name))
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
		}
		canonical.WriteString(name + ":" + value + "\n")
	}
	canonical.WriteString("\n" + fields["SignedHeaders"] + "\n" + bodyHash(r))
	sum := sha256.Sum256([]byte(canonical.String()))
	signed := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	k := []byte("AWS4" + key)
	for _, part := range []string{date[:8], "us-east-1", service, "aws4_request", signed} {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(part))
		k = mac.Sum(nil)
	}
	return hex.EncodeToString(k) == fields["Signature"]
}

// bodyHash hashes the body, which stays readable.
func bodyHash(r *http.Request) string {
	body, _ := io.ReadAll(r.Body) // a body that breaks off has another hash
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func (sesAPI) Unauthorized(r *http.Request) *upstreamtest.Answer {
	if r.Header.Get("Authorization") == "" {
		return sesError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	return sesError(403, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
}

// Other serves the account and its identities.
func (sesAPI) Other(r *http.Request, acct *upstreamtest.Account) *upstreamtest.Answer {
	if r.Method != http.MethodGet {
		return nil
	}
	if acct.SendOnly {
		return sesError(403, "AccessDeniedException", "User: arn:aws:iam::1:user/app is not authorized to perform: ses:GetAccount")
	}
	if r.URL.Path == "/v2/email/account" {
		status := func(name string) bool { return !slices.Contains(acct.Scopes, name) }
		return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"ProductionAccessEnabled": status("sandbox"), "SendingEnabled": status("paused"),
			"EnforcementStatus": "HEALTHY", "SendQuota": map[string]float64{"Max24HourSend": 50000, "MaxSendRate": 14, "SentLast24Hours": 17}})}
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/v2/email/identities/"); ok {
		for _, d := range acct.Domains {
			if d.Name == name {
				return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"VerifiedForSendingStatus": d.Status == "verified"})}
			}
		}
		return sesError(404, "NotFoundException", "Email identity "+name+" does not exist.")
	}
	return nil
}

func (sesAPI) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]string{"MessageId": msg.ID})}
}

func (sesAPI) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	var req struct {
		ConfigurationSetName, FromEmailAddressIdentityArn string
		Destination                                       struct{ ToAddresses []string }
		EmailTags                                         []struct{ Name, Value string }
		Content                                           struct{ Raw struct{ Data string } }
	}
	if err := upstreamtest.DecodeStrict(body, &req); err != nil {
		return sesError(400, "BadRequestException", err.Error())
	}
	if n := len(req.Destination.ToAddresses); n == 0 || n > 50 {
		return sesError(400, "BadRequestException", "Recipient count is out of range")
	}
	msg.Options = map[string]string{"set": req.ConfigurationSetName, "identity": req.FromEmailAddressIdentityArn}
	for _, t := range req.EmailTags {
		msg.Options[t.Name] = t.Value
	}
	if fault := takeRecipients(msg, req.Destination.ToAddresses); fault != "" {
		return sesError(400, "BadRequestException", fault)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(req.Content.Raw.Data)
	if err != nil || len(raw) > 40<<20 {
		return sesError(400, "BadRequestException", "Message length is more than 41943040 bytes long, or is no base64")
	}
	msg.Raw = raw
	if err := upstreamtest.ReadRaw(msg); err != nil {
		return sesError(400, "MessageRejected", err.Error())
	}
	return nil
}

// takeRecipients takes an envelope; it returns what is wrong with an address, "" for nothing.
func takeRecipients(msg *upstreamtest.Message, list []string) string {
	for _, a := range list {
		if upstreamtest.CheckAddress(a) != nil {
			return "Illegal address: " + a
		}
		if a = strings.ToLower(a); slices.Contains(msg.Recipients, a) {
			return "The address " + a + " is there twice"
		}
		msg.Recipients = append(msg.Recipients, a)
	}
	return ""
}
