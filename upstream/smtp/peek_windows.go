package smtp

import (
	"syscall"
	"unsafe"
)

const fionread = 0x4004667f // of winsock2.h: how many bytes can be read

// pending reports whether something waits to be read from the connection.
func (c *rawConn) pending() bool {
	if c.socket == nil {
		return false
	}
	var n, returned uint32
	var failed error
	err := c.socket.Control(func(fd uintptr) {
		failed = syscall.WSAIoctl(syscall.Handle(fd), fionread, nil, 0, (*byte)(unsafe.Pointer(&n)), uint32(unsafe.Sizeof(n)), &returned, nil, 0)
	})
	return err != nil || failed != nil || n > 0
}
