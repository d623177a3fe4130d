// Package identity gives mail its names: it completes bare names and headers, follows aliases and
// rewrites senders for upstreams that know only some domains.
package identity

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	"mailhatch/mime"
)

// Identity is the table [identity] of the config.
type Identity struct {
	Domain      string       // completes bare names
	Hostname    string       // stands in Received and Message-ID
	DefaultFrom mime.Address // for messages without From; Addr "" means the envelope sender
}

// KeyError is a key of the config that cannot be used.
type KeyError struct {
	Key     string // within its table
	Problem string
	Hint    string // what to do; may be empty
}

// Error gives key and problem.
func (e *KeyError) Error() string { return e.Key + " " + e.Problem }

// New makes an identity. defaultFrom is an address with or without a name, or empty; the error is about it.
func New(domain, hostname, defaultFrom string) (*Identity, error) {
	id := &Identity{Domain: domain, Hostname: hostname}
	if defaultFrom == "" {
		return id, nil
	}
	from, err := ParseMailbox(defaultFrom)
	id.DefaultFrom = from
	return id, err
}

// ParseMailbox reads one address of the config, with or without a display name.
func ParseMailbox(s string) (mime.Address, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil {
		return mime.Address{}, fmt.Errorf("%q is not a mail address", s)
	}
	if _, domain, _ := Split(a.Address); CheckDomain(domain) != nil {
		return mime.Address{}, fmt.Errorf("%q is not a mail address with a usable domain", s)
	}
	return mime.Address{Name: a.Name, Addr: a.Address}, nil
}

// CheckDomain says why a name cannot stand in HELO and addresses (RFC 5321 4.1.2, RFC 1035 2.3.4).
// International names are written in their ASCII form (xn--…).
func CheckDomain(name string) error {
	if name == "" || len(name) > 253 {
		return errors.New("must have 1 to 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return fmt.Errorf("%q is not a domain name", name)
		}
	}
	return nil
}

// Split divides an address at the @ that is not within a quoted local part. Without one, ok is false.
func Split(addr string) (local, domain string, ok bool) {
	end := 0
	if strings.HasPrefix(addr, `"`) {
		end = quotedLength(addr)
	}
	at := strings.LastIndexByte(addr[end:], '@')
	if at < 0 {
		return addr, "", false
	}
	return addr[:end+at], addr[end+at+1:], true
}

// quotedLength is the length of the quoted string that s begins with (RFC 5322 3.2.4).
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// isQuoted says whether s is one whole quoted string.
func isQuoted(s string) bool {
	if !strings.HasPrefix(s, `"`) {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i == len(s)-1
		}
	}
	return false
}

// Qualify completes a bare name: root becomes root@domain. The null sender "" stays.
func (id *Identity) Qualify(addr string) string {
	if addr == "" {
		return ""
	}
	local, domain, _ := Split(addr)
	if domain != "" {
		return addr
	}
	return local + "@" + id.Domain
}

// isLocal says whether aliases without a domain hold for this domain.
func (id *Identity) isLocal(domain string) bool {
	return domain == "" || strings.EqualFold(domain, id.Domain) || strings.EqualFold(domain, id.Hostname) ||
		strings.EqualFold(domain, "localhost")
}
