// Package identity completes bare names and headers, follows aliases and
// rewrites senders for upstreams that know only some domains.
package identity

import (
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/mime/hostname"
)

// Identity is the table [identity] of the config.
type Identity struct {
	Domain      string       // completes bare names
	Hostname    string       // for Received and Message-ID
	DefaultFrom mime.Address // for messages without From; Addr "" means the envelope sender

	LocalDomains []string // names of this host beside Hostname and its short form
}

// LocalDomains are names that every host has.
func LocalDomains() []string { return []string{"localhost", "localhost.localdomain"} }

// KeyError is a key of the config that cannot be used.
type KeyError struct {
	Key     string // within its table
	Item    int    // of the list that the key holds, counted from 1; 0: the value as a whole
	Problem string
	Hint    string // what to do; may be empty
	Mild    bool   // the rest can be used
}

// Error returns key and problem.
func (e *KeyError) Error() string { return e.Key + " " + e.Problem }

// New makes an identity. defaultFrom is an address with or without a name, or empty; the error is about it.
func New(domain, hostname, defaultFrom string) (*Identity, error) {
	id := &Identity{Domain: domain, Hostname: hostname, LocalDomains: LocalDomains()}
	if defaultFrom == "" {
		return id, nil
	}
	from, err := ParseMailbox(defaultFrom)
	id.DefaultFrom = from
	return id, err
}

// ParseMailbox parses one address of the config, with or without a display name.
func ParseMailbox(s string) (mime.Address, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil {
		return mime.Address{}, fmt.Errorf("%q is not a mail address", s)
	}
	local, domain, _ := mime.SplitAddress(a.Address)
	if strings.Contains(local, "*") {
		return mime.Address{}, fmt.Errorf("%q has a *, but no pattern can fill it in", s)
	}
	if hostname.Check(domain) != nil {
		return mime.Address{}, fmt.Errorf("%q is not a mail address with a usable domain", s)
	}
	return mime.Address{Name: a.Name, Addr: a.Address}, nil
}

// Qualify completes a bare name: root becomes root@domain, and what is quoted as a whole ("a@b") the address
// inside. The null sender "" stays, and so does what is neither.
func (id *Identity) Qualify(addr string) string {
	local, domain, _ := mime.SplitAddress(addr)
	if local == "" || domain != "" {
		return addr
	}
	p, err := mime.ParsePath(local, id.Domain)
	if err != nil {
		return addr
	}
	return p.String()
}

// ownsHost reports whether a domain is a name of this host: its hostname, the short form of it, localhost in
// its domain (as Debian's mydestination has them), or one of LocalDomains.
func (id *Identity) ownsHost(domain string) bool {
	is := func(name string) bool { return strings.EqualFold(domain, name) }
	short, parent, _ := strings.Cut(id.Hostname, ".")
	return is(id.Hostname) || is(short) || is("localhost."+parent) || slices.ContainsFunc(id.LocalDomains, is)
}
