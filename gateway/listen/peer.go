package listen

import (
	"mailhatch/gateway/envelope"
	"net"
)

// peerName names the account that opened the other end of a unix socket: "uid:www-data", with the
// number where the account has no name; "" when it cannot be known.
func peerName(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	uid, ok := peerUID(u)
	if !ok {
		return ""
	}
	return envelope.AccountUser(uid)
}
