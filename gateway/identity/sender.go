package identity

import (
	"errors"
	"fmt"
	"strings"

	"mailhatch/gateway/glob"
	"mailhatch/mime"
	"mailhatch/mime/hostname"
)

// SenderPolicy is from_domains and rewrite_from of an upstream.
type SenderPolicy struct {
	Domains []string     // lower case; "*.example.com" is all subdomains; empty: every From is rewritten
	Rewrite mime.Address // takes the place of a From outside Domains

	hostsOnly bool   // only names of hosts, such as root@app1, are rewritten
	domain    string // where Rewrite is zero: takes the place of the host's name
}

// HostSenders is the policy of an upstream that carries no mail from names of hosts, such as root@app1, and has no
// other policy: default_from takes their place or, without one, the domain that completes names. It is nil where
// neither is any better.
func (id *Identity) HostSenders() *SenderPolicy {
	p := &SenderPolicy{Rewrite: id.DefaultFrom, hostsOnly: true, domain: id.Domain}
	if p.allowed(id.DefaultFrom.Addr) || id.DefaultFrom.Addr == "" && strings.Contains(id.Domain, ".") {
		return p
	}
	return nil
}

// NewSenderPolicy checks both keys. Its error joins a *KeyError for each that cannot be used.
func NewSenderPolicy(domains []string, rewriteFrom string) (*SenderPolicy, error) {
	p := &SenderPolicy{}
	var errs []error
	for i, d := range domains {
		fail := func(problem, hint string) {
			errs = append(errs, &KeyError{Key: "from_domains", Item: i + 1, Problem: problem, Hint: hint})
		}
		pattern, mistake := glob.Domain(d)
		if mistake != nil {
			fail(mistake.Problem, mistake.Hint)
		} else if err := hostname.Check(strings.TrimPrefix(pattern, "*.")); err != nil {
			fail(err.Error(), `write "example.com", or ".example.com" for its subdomains`)
		}
		p.Domains = append(p.Domains, pattern)
	}
	var err error
	if p.Rewrite, err = ParseMailbox(rewriteFrom); err != nil {
		hint := `write "App <noreply@example.com>"`
		if strings.Contains(rewriteFrom, "*") {
			hint += `; to keep local parts: [[rewrite]] with map_sender = { "*" = "*@example.com" }`
		}
		errs = append(errs, &KeyError{Key: "rewrite_from", Problem: err.Error(), Hint: hint})
	} else if len(errs) == 0 && len(domains) > 0 && !p.inDomains(p.Rewrite.Addr) {
		errs = append(errs, &KeyError{Key: "rewrite_from", Problem: fmt.Sprintf("%q is not in from_domains itself", rewriteFrom)})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// allowed reports whether mail from this address may go as it is.
func (p *SenderPolicy) allowed(addr string) bool {
	if _, domain, _ := mime.SplitAddress(addr); p.hostsOnly {
		return strings.Contains(domain, ".")
	}
	return mime.SameAddress(addr, p.Rewrite.Addr) || p.inDomains(addr)
}

func (p *SenderPolicy) inDomains(addr string) bool {
	_, domain, _ := mime.SplitAddress(mime.AddressKey(addr))
	for _, d := range p.Domains {
		parent, wild := strings.CutPrefix(d, "*")
		if domain == d || wild && len(domain) > len(parent) && strings.HasSuffix(domain, parent) {
			return true
		}
	}
	return false
}

// Apply returns the envelope sender and the header edits with which m may go. A From outside the
// domains is replaced by the policy's own address that keeps the display name ("Ann via App"); the
// original stays in Reply-To, when there is none, and in X-Original-From. Sender goes with it. An
// envelope sender outside the domains is replaced too, the null sender never.
func (p *SenderPolicy) Apply(from string, m *mime.Message) (newFrom string, edits []mime.Edit) {
	newFrom = from
	if from != "" && !p.allowed(from) {
		newFrom = p.instead(from)
	}
	if p.allAllowed(m.From) {
		if m.Sender != nil && !p.allowed(m.Sender.Addr) {
			edits = append(edits, mime.Edit{Op: mime.Remove, Name: "Sender"})
		}
		return newFrom, edits
	}
	edits = append(edits, mime.Edit{Op: mime.Replace, Name: "From", Value: p.via(m.From).String()})
	if m.Header.Has("Sender") {
		edits = append(edits, mime.Edit{Op: mime.Remove, Name: "Sender"})
	}
	if len(m.From) > 0 && m.Header.Get("Reply-To") == "" {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "Reply-To", Value: addressList(m.From)})
	}
	if original := m.Header.Get("From"); original != "" {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "X-Original-From", Value: original})
	}
	return newFrom, edits
}

// allAllowed is false for a From that cannot be read.
func (p *SenderPolicy) allAllowed(from []mime.Address) bool {
	for _, a := range from {
		if !p.allowed(a.Addr) {
			return false
		}
	}
	return len(from) > 0
}

// instead returns the address that takes the place of one that is not allowed.
func (p *SenderPolicy) instead(addr string) string {
	if p.Rewrite.Addr != "" {
		return p.Rewrite.Addr
	}
	local, _, _ := mime.SplitAddress(addr)
	return local + "@" + p.domain
}

// via returns the new From: "Ann via App", or as much of it as there is.
func (p *SenderPolicy) via(from []mime.Address) mime.Address {
	a := p.Rewrite
	if a.Addr == "" {
		a.Addr = "postmaster@" + p.domain
		if len(from) > 0 {
			a.Addr = p.instead(from[0].Addr)
		}
	}
	if len(from) == 0 || from[0].Name == "" {
		return a
	}
	if a.Name == "" {
		a.Name = from[0].Name
	} else {
		a.Name = from[0].Name + " via " + a.Name
	}
	return a
}

func addressList(list []mime.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
