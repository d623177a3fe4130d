package fakes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// takeAddressed takes a message whose header names its recipients, and takes its Bcc field out; it returns what is wrong
// with it, "" for nothing. It looks for fields as loosely as any provider might, and reads them strictly.
func takeAddressed(msg *upstreamtest.Message, raw []byte) string {
	end := len(raw)
	if at := endOfHeader.FindIndex(raw); at != nil {
		end = at[0]
	}
	var kept []byte
	seen := map[string]bool{}
	field, bcc := "", false
	for line := range strings.Lines(string(raw[:end]) + "\r\n-:") { // the last field ends where another would begin
		name, value, _ := strings.Cut(line, ":")
		folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if !folded {
			if fault := takeField(msg, field); fault != "" {
				return fault
			}
			field, bcc = "", false
			switch name = strings.ToLower(strings.TrimRight(name, " \t")); name {
			case "to", "cc", "bcc":
				if seen[name] {
					return "The field " + name + " is there twice"
				}
				seen[name], field, bcc = true, value, name == "bcc"
			case "resent-to", "resent-cc", "resent-bcc":
				return "The field " + name + " would name recipients"
			}
		} else if field != "" {
			field += line
		}
		if !bcc {
			kept = append(kept, line...)
		}
	}
	kept = bytes.TrimSuffix(kept, []byte("\r\n-:"))
	if len(msg.Recipients) == 0 {
		return "Recipient address required"
	}
	msg.Raw = append(kept, raw[end:]...)
	if err := upstreamtest.ReadRaw(msg); err != nil {
		return err.Error()
	}
	return ""
}

var endOfHeader = regexp.MustCompile(`\r?\n\r?\n`)

// takeField takes the recipients of one field.
func takeField(msg *upstreamtest.Message, field string) string {
	if field = strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(field)); field == "" {
		return ""
	}
	list, err := mail.ParseAddressList(field)
	if err != nil {
		return "Invalid To header: " + err.Error()
	}
	var addresses []string
	for _, a := range list {
		spec := mail.Address{Address: a.Address}
		addresses = append(addresses, strings.Trim(spec.String(), "<>")) // with quotes where it needs them
	}
	if fault := takeRecipients(msg, addresses); fault != "" {
		return "Invalid To header: " + fault
	}
	return ""
}

// tokenOf is the access token that is granted for a client secret.
func tokenOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "granted-" + hex.EncodeToString(sum[:12])
}

const tokenPath = "/token"

// hasToken reports whether a request for a token has the client secret, and any other the token that it is good for.
func hasToken(r *http.Request, secret string) bool {
	if r.URL.Path == tokenPath {
		return r.ParseForm() == nil && r.PostForm.Get("client_secret") == secret
	}
	return r.Header.Get("Authorization") == "Bearer "+tokenOf(secret)
}

// grantToken answers a request for a token (RFC 6749 4.4); nil: it is none.
func grantToken(r *http.Request, scope string) *upstreamtest.Answer {
	switch {
	case r.URL.Path != tokenPath || r.Method != http.MethodPost:
		return nil
	case r.PostForm.Get("grant_type") != "client_credentials" || !slices.Contains(r.PostForm["scope"], scope):
		return &upstreamtest.Answer{Status: 400, Body: `{"error":"invalid_scope","error_description":"AADSTS1002012: the scope is not valid"}`}
	}
	return &upstreamtest.Answer{Status: 200, Body: upstreamtest.JSON(map[string]any{"access_token": tokenOf(r.PostForm.Get("client_secret")), "token_type": "Bearer", "expires_in": 3600})}
}

// refuseToken answers one without the client secret; nil: it is none.
func refuseToken(r *http.Request) *upstreamtest.Answer {
	if r.URL.Path != tokenPath {
		return nil
	}
	return &upstreamtest.Answer{Status: 401, Body: `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`}
}
