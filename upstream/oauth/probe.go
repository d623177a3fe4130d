package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/upstream"
)

// Probe gets a token and reports on it: what is missing of the steps to one, and what of the rights it needs. ok
// reports whether there is a token to try.
func (s *Source) Probe(ctx context.Context) (list []upstream.Finding, ok bool) {
	access, e := s.Token(ctx)
	if e != nil {
		return []upstream.Finding{Finding("token", e)}, false
	}
	list = append(list, upstream.Finef("token", "until %s", s.get(ctx).Expiry.Local().Format(time.DateTime)))
	if right := s.lacks(access); right != "" {
		list = append(list, upstream.Finding{Name: "right", Level: upstream.Fail, Text: "the token has not the right " + right,
			Hint: "app right: add it under API permissions of the application, then grant admin consent"})
	}
	for _, x := range s.Expiries() {
		if x.EndsSoon(s.now()) {
			list = append(list, upstream.Finding{Name: x.Name, Level: upstream.Warn, Text: fmt.Sprintf("ends on %s", x.At.Format(time.DateOnly)),
				Hint: "upload a new one to the application, then name it in certificate_file"})
		}
	}
	return list, true
}

// lacks returns the right that a token of Microsoft's needs and has not; "" where it has it, or none can be read: tokens
// are for whom they are made for, and are read for this advice only. Without the right Exchange answers as it does without
// a service principal. At Graph an application may have the right from Exchange alone, which no token tells:
// https://learn.microsoft.com/en-us/exchange/permissions-exo/application-rbac
// https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
func (s *Source) lacks(access string) string {
	if s.settings.Provider != microsoft || len(s.settings.Scopes) > 0 || s.purpose == Gmail || s.purpose == Graph && s.settings.Flow == ClientCredentials {
		return ""
	}
	parts := strings.Split(access, ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct {
		Roles []string `json:"roles"` // of an application
		Scope string   `json:"scp"`   // of a person
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	right := map[Purpose][2]string{SMTP: {"SMTP.SendAsApp", "SMTP.Send"}, Graph: {"Mail.Send", "Mail.Send"}}[s.purpose]
	switch {
	case s.settings.Flow == Device && !slices.Contains(strings.Fields(claims.Scope), right[1]):
		return right[1]
	case s.settings.Flow == ClientCredentials && !slices.Contains(claims.Roles, right[0]):
		return right[0]
	}
	return ""
}
