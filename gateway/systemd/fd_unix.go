//go:build unix

package systemd

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// copyOf returns a copy of a descriptor that was passed; programs that this one starts get neither.
func copyOf(fd int, name string) (*os.File, error) {
	syscall.CloseOnExec(fd)
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(own), name), nil
}

// monotonic returns the clock by which the service manager sorts out crossing messages.
func monotonic() (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano()), err
}
