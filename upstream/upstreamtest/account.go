package upstreamtest

import (
	"net/http"
	"slices"
	"time"
)

// Domain is a sending domain of the account. Status is the provider's word: Resend "verified", "pending";
// Mailgun "active", "unverified"; SendGrid "valid" or anything else.
type Domain struct{ Name, Status string }

// Account is what a fake tells of itself to requests that send nothing.
type Account struct {
	Domains  []Domain
	SendOnly bool // the key may send and do nothing else
	Scopes   []string
	senders  []string // that it may use; nil: all
	skew     time.Duration
}

// SetDomains changes the sending domains.
func (s *Server) SetDomains(domains ...Domain) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.Domains = domains
}

// SetSendOnly makes the key one that may only send, or one that may do everything.
func (s *Server) SetSendOnly(only bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.SendOnly = only
}

// SetScopes changes what SendGrid says that the key may do.
func (s *Server) SetScopes(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.Scopes = scopes
}

// SetSenders changes the addresses that SendGrid takes as From; none: all.
func (s *Server) SetSenders(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.senders = addresses
}

// SetClock makes the Date of answers differ from this machine's clock.
func (s *Server) SetClock(skew time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.skew = skew
}

// date sets Date where the fake's clock is wrong.
func (s *Server) date(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.account.skew != 0 {
		w.Header().Set("Date", time.Now().Add(s.account.skew).UTC().Format(http.TimeFormat))
	}
}

// Refuse gives this answer, of status, header and body alone, to all requests with one of these recipients.
func (s *Server) Refuse(recipients []string, answer Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = map[string]Fault{}
	for _, r := range recipients {
		s.refused[r] = answer
	}
}

func (s *Server) refusal(msg *Message) *Answer {
	for _, r := range msg.Recipients {
		if f, ok := s.refused[r]; ok {
			return &Answer{f.Status, f.Header, f.Body}
		}
	}
	return nil
}

// Other serves scopes and authenticated domains,
// https://www.twilio.com/docs/sendgrid/api-reference/domain-authentication/list-all-authenticated-domains
func (sendgridAPI) Other(r *http.Request, acct *Account) *Answer {
	scopes := acct.Scopes
	if scopes == nil {
		scopes = []string{"mail.send"}
	}
	switch {
	case r.Method != http.MethodGet:
		return nil
	case r.URL.Path == "/v3/scopes":
		return &Answer{200, nil, JSON(map[string]any{"scopes": scopes})}
	case r.URL.Path != "/v3/whitelabel/domains":
		return nil
	case !slices.Contains(scopes, "whitelabel.read"):
		return sendgridError(403, "", "access forbidden")
	}
	list := []map[string]any{}
	for i, d := range acct.Domains {
		list = append(list, map[string]any{"id": i, "domain": d.Name, "subdomain": "em", "valid": d.Status == "valid"})
	}
	return &Answer{200, nil, JSON(list)}
}
