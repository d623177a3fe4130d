package gateway

import (
	"net"
	"os/user"
	"strconv"
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
	return accountName(uid)
}

// accountName gives the user of mail from a local account: "uid:" with its name, else its number.
func accountName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if account, err := user.LookupId(id); err == nil {
		return "uid:" + account.Username
	}
	return "uid:" + id
}
