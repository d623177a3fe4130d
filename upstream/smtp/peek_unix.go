//go:build unix

package smtp

import "syscall"

// pending reports whether something waits to be read from the connection, or its end.
func (c *rawConn) pending() bool {
	if c.socket == nil {
		return false
	}
	waits := true
	err := c.socket.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		waits = err != syscall.EAGAIN && err != syscall.EINTR
	})
	return err != nil || waits
}
