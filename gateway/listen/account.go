package listen

import (
	"net"
	"time"

	"mailhatch/gateway/envelope"
)

// Accounts returns a listener whose connections have as their RemoteAddr the account that opened the other end of a
// unix socket, as [envelope.Account] names it. Of others, and where the system does not tell, it stays as it is.
func Accounts(l net.Listener) net.Listener { return accounts{l} }

type accounts struct{ net.Listener }

// Accept implements net.Listener.
func (a accounts) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*net.UnixConn); ok {
		if uid, ok := peerUID(u); ok {
			return accountConn{u, accountAddr(envelope.Account(uid))}, nil
		}
	}
	return c, nil
}

// SetDeadline passes one on, where the listener below takes it.
func (a accounts) SetDeadline(t time.Time) error {
	if l, ok := a.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return l.SetDeadline(t)
	}
	return nil
}

type accountConn struct {
	*net.UnixConn
	account accountAddr
}

// RemoteAddr implements net.Conn.
func (c accountConn) RemoteAddr() net.Addr { return c.account }

// accountAddr is the name of an account as an address.
type accountAddr string

// Network implements net.Addr.
func (accountAddr) Network() string { return "account" }

// String implements net.Addr.
func (a accountAddr) String() string { return string(a) }
