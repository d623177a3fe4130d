// Package systemd takes sockets from a service manager and reports to it how the program is
// (sd_listen_fds(3), sd_notify(3)). It is silent where there is none.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// firstFD is the first descriptor that sd_listen_fds(3) passes.
const firstFD = 3

// Listeners returns the sockets that the service manager passed under a name (FileDescriptorName=).
func Listeners(name string) ([]net.Listener, error) {
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("no sockets were passed to this process; fd:%s needs a systemd socket unit", name)
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	var found []net.Listener
	for i := range n {
		if i >= len(names) || names[i] != name {
			continue
		}
		closeOnExec(firstFD + i)
		f := os.NewFile(uintptr(firstFD+i), name)
		l, err := net.FileListener(f)
		_ = f.Close() // the listener has a copy
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no socket with FileDescriptorName=%s was passed; there are %q", name, names)
	}
	return found, nil
}
