//go:build linux || darwin || freebsd

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), getTermios)
	return err == nil
}

// WithoutEcho calls read while the terminal f does not show what is typed.
func WithoutEcho(f *os.File, read func() error) error {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	quiet := *old
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, setTermios, &quiet); err != nil {
		return err
	}
	defer unix.IoctlSetTermios(fd, setTermios, old) //nolint:errcheck // the terminal has gone
	return read()
}

// obey has nothing to do: terminals follow the controls of Full as they are.
func obey(*os.File) (undo func(), err error) { return func() {}, nil }
