// Package offer is one offer of mail to an upstream: what the upstream is given, what it answers, and what its provider's log
// has of an offer whose answer was lost.
package offer

import (
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// NewMail copies what an upstream needs of an envelope.
func NewMail(id string, env *envelope.Envelope, from string, to []envelope.Recipient, msg *mime.Message) *upstream.Mail {
	m := &upstream.Mail{ID: id, From: from, Ret: env.Ret, EnvID: env.EnvID, EightBit: env.Body == "8BITMIME",
		UTF8: env.UTF8, Own: env.Own, Message: msg, To: make([]upstream.Recipient, len(to))}
	for i, r := range to {
		m.To[i] = upstream.Recipient{Address: r.Address, Notify: r.Notify, ORcpt: r.ORcpt}
	}
	return m
}

// FromAddress returns the first From address, as all spellings of it are compared.
func FromAddress(m *mime.Message) string {
	if len(m.From) == 0 {
		return ""
	}
	return mime.AddressKey(m.From[0].Addr)
}

// DomainOf returns the domain of an address in lower case.
func DomainOf(addr string) string { return strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:]) }

// DomainsOf returns the domains of recipients, each once.
func DomainsOf(to []envelope.Recipient) []string {
	var list []string
	for _, r := range to {
		if d := DomainOf(r.Address); !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}
