// Package bind says on which sockets an address of the config is bound, and which addresses are in each other's way.
package bind

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"mailhatch/mime/hostname"
)

// Address is a "host:port" to listen on.
type Address struct {
	ip   netip.Addr // the zero Addr: name says which
	name string     // "" is every address of the machine
	port uint16     // 0 is any free one
}

// Socket is what to hand to net.Listen.
type Socket struct {
	Network string // "tcp": both families, "tcp4" or "tcp6": only that one
	Address string
	Spare   bool // without it the others do: the machine may have no IPv6
}

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

const localhost = "localhost"

var errForm = errors.New("not an address to listen on")

// Parse reads "127.0.0.1:25", "[::]:25", ":25" or "name:25".
func Parse(s string) (Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, errForm
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, errForm
	}
	a := Address{port: uint16(n)}
	if a.ip, err = netip.ParseAddr(host); err != nil {
		if host != "" && (!hostname.OrLiteral(host) || !strings.ContainsFunc(host, unicode.IsLetter)) { // "*" and "0" of other programs
			return Address{}, errForm
		}
		a.name = host
	}
	a.ip = a.ip.Unmap()
	return a, nil
}

// Sockets returns where an address is bound beside others. [::] takes IPv4 as well, unless one of the others
// has its port; 0.0.0.0 never takes IPv6; localhost is 127.0.0.1 and ::1.
func (a Address) Sockets(others []Address) []Socket {
	port := strconv.Itoa(int(a.port))
	switch {
	case a.name == localhost && a.port != 0: // of two free ports nobody could know which is which
		return Loopback(a.port)
	case !a.ip.IsValid():
		return []Socket{{Network: "tcp", Address: net.JoinHostPort(a.name, port)}}
	case a.ip.Is4():
		return []Socket{{Network: "tcp4", Address: net.JoinHostPort(a.ip.String(), port)}}
	}
	network := "tcp6"
	if a.ip.IsUnspecified() && a.isAlone(others) {
		network = "tcp"
	}
	return []Socket{{Network: network, Address: net.JoinHostPort(a.ip.String(), port)}}
}

// Loopback returns the sockets of a port that programs of this machine reach at both of its addresses.
func Loopback(port uint16) []Socket {
	return []Socket{
		{Network: "tcp4", Address: netip.AddrPortFrom(loopback4, port).String()},
		{Network: "tcp6", Address: netip.AddrPortFrom(loopback6, port).String(), Spare: true},
	}
}

func (a Address) isAlone(others []Address) bool {
	for _, o := range others {
		if o.port == a.port && o.port != 0 {
			return false
		}
	}
	return true
}

// Overlaps reports whether a and b cannot both be bound. Names other than localhost are taken for IPv4 addresses
// that nobody else names.
func (a Address) Overlaps(b Address) bool {
	if a.port != b.port || a.port == 0 {
		return false
	}
	if a.name != "" && a.name == b.name {
		return true
	}
	for _, x := range a.addrs() {
		for _, y := range b.addrs() {
			if x.overlaps(y) {
				return true
			}
		}
	}
	return false
}

// taken is an IP address that a socket takes; all of its family when it is unspecified, and when it is the zero
// Addr one of IPv4 that is not known.
type taken struct{ netip.Addr }

func (a Address) addrs() []taken {
	switch {
	case a.ip.IsValid():
		return []taken{{a.ip}}
	case a.name == "":
		return []taken{{netip.IPv4Unspecified()}, {netip.IPv6Unspecified()}}
	case a.name == localhost:
		return []taken{{loopback4}, {loopback6}}
	}
	return []taken{{}}
}

func (t taken) overlaps(o taken) bool {
	if !t.IsValid() || !o.IsValid() {
		return t.Addr == netip.IPv4Unspecified() || o.Addr == netip.IPv4Unspecified()
	}
	return t.Is4() == o.Is4() && (t == o || t.IsUnspecified() || o.IsUnspecified())
}
