package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// Call is one request's share of a mail's recipients. To and cc are shown to everyone who gets
// the mail, so only recipients that stand in the header and in the envelope are there.
type Call struct {
	To, Cc, Bcc []mime.Address
	Batch       bool     // each of to gets a mail of its own and sees no other; there is no cc and bcc
	rcpts       [][]int  // positions in Mail.To; several where addresses differ in case only
	Keys        []string // the same recipients as comparable addresses
	Repeated    bool     // the call may have been made before, and the mail taken
}

// Addresses returns the recipients, those that the header shows first.
func (c *Call) Addresses() []string {
	var list []string
	for _, a := range slices.Concat(c.To, c.Cc, c.Bcc) {
		list = append(list, a.Addr)
	}
	return list
}

// Positions returns all positions in Mail.To that the call stands for.
func (c *Call) Positions() []int { return slices.Concat(c.rcpts...) }

type role int

const (
	roleTo role = iota // the order is the precedence
	roleCc
	roleBcc
)

// recipient is one mailbox of the envelope.
type recipient struct {
	addr  mime.Address
	key   string
	role  role
	place int // in the header
	rcpts []int
}

// planCalls distributes the recipients at these positions of m.To to calls as large as the API takes. The
// result depends on their order alone, so that a retry of whole calls makes the same calls again.
// Recipients that the API cannot address are returned in refused.
//
// A call without anyone to show in To is nothing that the APIs take: those recipients get a mail each,
// with themselves as To, so that none is shown to another; in one call where the API can do that. With
// Service.Addressed there is no such call: To and Cc are as the header has them, and may be empty.
func planCalls(m *upstream.Mail, at []int, s *Service) (calls []Call, refused map[int]*upstream.Error) {
	all, refused := recipientsOf(m, at)
	slices.SortStableFunc(all, func(a, b *recipient) int { return cmp.Compare(a.role, b.role) })
	for len(all) > 0 {
		n := min(s.Recipients, len(all))
		lonely := all[0].role != roleTo && !s.Addressed
		if lonely && !s.Batches {
			n = 1
		}
		for _, r := range all[:n] {
			if lonely {
				r.role = roleTo
			}
		}
		c := makeCall(all[:n])
		c.Batch = lonely && n > 1
		calls = append(calls, c)
		all = all[n:]
	}
	return calls, refused
}

func makeCall(rcpts []*recipient) Call {
	var c Call
	for _, r := range rcpts {
		c.rcpts = append(c.rcpts, r.rcpts)
		c.Keys = append(c.Keys, r.key)
	}
	// Shown in the order of the header.
	shown := slices.Clone(rcpts)
	slices.SortStableFunc(shown, func(a, b *recipient) int { return cmp.Compare(a.place, b.place) })
	for _, r := range shown {
		switch r.role {
		case roleTo:
			c.To = append(c.To, r.addr)
		case roleCc:
			c.Cc = append(c.Cc, r.addr)
		case roleBcc: // in the order of the envelope, for they have no place
			c.Bcc = append(c.Bcc, r.addr)
		}
	}
	return c
}

func recipientsOf(m *upstream.Mail, at []int) (all []*recipient, refused map[int]*upstream.Error) {
	refused = map[int]*upstream.Error{}
	shown := shownIn(m.Message)
	byKey := map[string]*recipient{}
	for _, i := range at {
		addr, key, err := Address(m.To[i].Address)
		if err != nil {
			refused[i] = err
			continue
		}
		if r := byKey[key]; r != nil {
			r.rcpts = append(r.rcpts, i)
			continue
		}
		r := &recipient{addr: mime.Address{Addr: addr}, key: key, role: roleBcc, rcpts: []int{i}}
		if s, ok := shown[key]; ok {
			r.role, r.place, r.addr.Name = s.role, s.place, s.addr.Name
		}
		byKey[key] = r
		all = append(all, r)
	}
	return all, refused
}

// shownIn indexes the header's To and Cc; what is in both counts as To.
func shownIn(msg *mime.Message) map[string]*recipient {
	shown := map[string]*recipient{}
	place := 0
	add := func(list []mime.Address, role role) {
		for _, a := range list {
			place++
			_, key, err := Address(a.Addr)
			if err == nil && shown[key] == nil {
				shown[key] = &recipient{addr: a, role: role, place: place}
			}
		}
	}
	add(msg.To, roleTo)
	add(msg.Cc, roleCc)
	return shown
}

// Address returns an address as APIs take it, the domain in A-labels (RFC 5891), and a key that is
// the same for the same mailbox. Non-ASCII local parts (RFC 6531) have no such form.
func Address(s string) (addr, key string, err *upstream.Error) {
	local, domain, ok := mime.SplitAddress(s)
	if !ok || local == "" || domain == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", "", Errorf(upstream.Permanent, "5.1.3", "%q is not an address", s)
	}
	if !IsASCII(local) {
		return "", "", Errorf(upstream.Unrepresentable, "5.6.7", "%s: the API takes no addresses beyond ASCII before the @", s)
	}
	ascii, e := mime.ASCIIDomain(domain)
	if e != nil {
		return "", "", Errorf(upstream.Permanent, "5.1.2", "%s is not a domain: %v", domain, e)
	}
	addr = local + "@" + ascii
	return addr, mime.AddressKey(addr), nil
}

// IsASCII reports whether s has no bytes beyond ASCII.
func IsASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// Digest names the recipients of a call: the same ones, in whatever order, have the same digest.
func (c *Call) Digest() string { return upstream.KeyOfRecipients(c.Keys) }

// Key names a call for idempotency: the same mail to the same recipients has the same key,
// any other call another one.
func (c *Call) Key(m *upstream.Mail) string { return m.KeyStem() + "-" + c.Digest() }

// Errorf returns an error that is about the mail; code is that of RFC 3463.
func Errorf(class upstream.Class, code, format string, args ...any) *upstream.Error {
	return &upstream.Error{Class: class, Code: code, Err: fmt.Errorf(format, args...)}
}
