// Package limit bounds what each client takes of what all share: connections, time, and bytes of
// messages on their way in. It knows nothing of what they say.
//
// While there is room a client may be as slow as RFC 5321 4.5.3.2 wants servers to bear. When
// connections or the budget are used up, those that make the least of their place give way.
package limit

import "net/netip"

// Client is who limits count: a user, else an address.
type Client struct {
	user string
	net  netip.Prefix
}

// NewClient returns the client that a user is, or where that is empty, an address; the zero Addr is not an address.
func NewClient(user string, addr netip.Addr) Client {
	if user != "" || !addr.IsValid() {
		return Client{user: user}
	}
	return Client{net: Network(addr)}
}

// Network returns the network that counts as one client: an IPv4 address, or an IPv6 /64.
func Network(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
