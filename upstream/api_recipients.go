package upstream

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"mailhatch/mime"
)

// apiCall is one request's share of a mail's recipients. To and cc are shown to everyone who gets
// the mail, so only recipients that stand in the header and in the envelope are there.
type apiCall struct {
	to, cc, bcc []mime.Address
	apart       bool     // each of to gets a mail of its own and sees no other; there is no cc and bcc
	rcpts       [][]int  // positions in Mail.To; several where addresses differ in case only
	keys        []string // the same recipients as comparable addresses
}

// positions gives all positions in Mail.To that the call stands for.
func (c *apiCall) positions() []int { return slices.Concat(c.rcpts...) }

type apiRole int

const (
	apiTo apiRole = iota // the order is the precedence
	apiCc
	apiBcc
)

// apiRecipient is one mailbox of the envelope.
type apiRecipient struct {
	addr  mime.Address
	key   string
	role  apiRole
	place int // in the header
	rcpts []int
}

// planCalls deals the recipients at these positions of m.To out to calls as large as p takes. The
// result depends on their order alone, so that a retry of whole calls makes the same calls again.
// Recipients that the API cannot address are returned in refused.
//
// A call without anyone to show in To is no choice of the APIs: those recipients get a mail each,
// with themselves as To, so that none is shown to another; in one call where p can do that.
func planCalls(m *Mail, at []int, p apiProvider) (calls []apiCall, refused map[int]*Error) {
	all, refused := apiRecipients(m, at)
	limit, _ := p.limits()
	slices.SortStableFunc(all, func(a, b *apiRecipient) int { return cmp.Compare(a.role, b.role) })
	for len(all) > 0 {
		n := min(limit, len(all))
		lonely := all[0].role != apiTo
		if lonely && !p.apart() {
			n = 1
		}
		for _, r := range all[:n] {
			if lonely {
				r.role = apiTo
			}
		}
		c := apiMakeCall(all[:n])
		c.apart = lonely && n > 1
		calls = append(calls, c)
		all = all[n:]
	}
	return calls, refused
}

func apiMakeCall(rcpts []*apiRecipient) apiCall {
	var c apiCall
	for _, r := range rcpts {
		c.rcpts = append(c.rcpts, r.rcpts)
		c.keys = append(c.keys, r.key)
	}
	// Shown in the order of the header.
	shown := slices.Clone(rcpts)
	slices.SortStableFunc(shown, func(a, b *apiRecipient) int { return cmp.Compare(a.place, b.place) })
	for _, r := range shown {
		switch r.role {
		case apiTo:
			c.to = append(c.to, r.addr)
		case apiCc:
			c.cc = append(c.cc, r.addr)
		}
	}
	for _, r := range rcpts {
		if r.role == apiBcc {
			c.bcc = append(c.bcc, r.addr)
		}
	}
	return c
}

func apiRecipients(m *Mail, at []int) (all []*apiRecipient, refused map[int]*Error) {
	refused = map[int]*Error{}
	shown := apiShown(m.Message)
	byKey := map[string]*apiRecipient{}
	for _, i := range at {
		addr, key, err := apiAddress(m.To[i].Address)
		if err != nil {
			refused[i] = err
			continue
		}
		if r := byKey[key]; r != nil {
			r.rcpts = append(r.rcpts, i)
			continue
		}
		r := &apiRecipient{addr: mime.Address{Addr: addr}, key: key, role: apiBcc, rcpts: []int{i}}
		if s, ok := shown[key]; ok {
			r.role, r.place, r.addr.Name = s.role, s.place, s.addr.Name
		}
		byKey[key] = r
		all = append(all, r)
	}
	return all, refused
}

// apiShown indexes the header's To and Cc; what is in both counts as To.
func apiShown(msg *mime.Message) map[string]*apiRecipient {
	shown := map[string]*apiRecipient{}
	place := 0
	add := func(list []mime.Address, role apiRole) {
		for _, a := range list {
			place++
			_, key, err := apiAddress(a.Addr)
			if err == nil && shown[key] == nil {
				shown[key] = &apiRecipient{addr: a, role: role, place: place}
			}
		}
	}
	add(msg.To, apiTo)
	add(msg.Cc, apiCc)
	return shown
}

// apiAddress gives an address as APIs take it, the domain in A-labels (RFC 5891), and a key that is
// the same for the same mailbox. Local parts beyond ASCII (RFC 6531) have no form there.
func apiAddress(s string) (addr, key string, err *Error) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 || i == len(s)-1 {
		return "", "", apiError(Permanent, "5.1.3", "%q is no address", s)
	}
	local, domain := s[:i], s[i+1:]
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", "", apiError(Permanent, "5.1.3", "%q is no address", s)
	}
	if !apiIsASCII(local) {
		return "", "", apiError(Unrepresentable, "5.6.7", "%s: the API takes no addresses beyond ASCII before the @", s)
	}
	if !apiIsASCII(domain) {
		ascii, e := idna.Lookup.ToASCII(domain)
		if e != nil {
			return "", "", apiError(Permanent, "5.1.2", "%s is no domain: %v", domain, e)
		}
		domain = ascii
	}
	return local + "@" + domain, strings.ToLower(local + "@" + domain), nil
}

func apiIsASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// callKey names a call for idempotency: the same mail to the same recipients has the same key,
// any other call another one.
func callKey(m *Mail, c *apiCall) string {
	keys := slices.Sorted(slices.Values(c.keys))
	sum := sha256.Sum256([]byte(strings.Join(keys, "\x00")))
	return m.ID + "-" + hex.EncodeToString(sum[:10])
}

func apiError(class Class, code, format string, args ...any) *Error {
	return &Error{Class: class, Code: code, Err: fmt.Errorf(format, args...)}
}
