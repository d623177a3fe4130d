//go:build darwin || freebsd

package listen

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID asks the kernel (LOCAL_PEERCRED, unix(4)).
func peerUID(c *net.UnixConn) (uid uint32, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	const level = 0 // SOL_LOCAL
	var cred *unix.Xucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptXucred(int(fd), level, unix.LOCAL_PEERCRED) }) != nil || err != nil {
		return 0, false
	}
	return cred.Uid, true
}
