// Package systemd takes sockets from a service manager and reports to it how the program is
// (sd_listen_fds(3), sd_notify(3)). It is silent where there is none.
package systemd

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// firstFD is the first descriptor that sd_listen_fds(3) passes.
const firstFD = 3

// Passed returns the names (FileDescriptorName=) of the sockets that the service manager passed, each once.
func Passed() []string {
	var list []string
	for _, name := range names() {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// names returns the name of each descriptor that was passed to this process, from firstFD on.
func names() []string {
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	list := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	return list[:max(0, min(n, len(list)))]
}

// Listeners returns the sockets that the service manager passed under a name. They are copies: the descriptors that
// were passed stay open, so that a reload may ask for the name again.
func Listeners(name string) ([]net.Listener, error) {
	passed := names()
	if len(passed) == 0 {
		return nil, fmt.Errorf("no sockets were passed to this process; fd:%s needs a systemd socket unit", name)
	}
	var found []net.Listener
	for i := range passed {
		if passed[i] != name {
			continue
		}
		l, err := listener(firstFD+i, name)
		if err != nil {
			closeAll(found)
			return nil, err
		}
		found = append(found, l)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no socket with FileDescriptorName=%s was passed; there are %q", name, passed)
	}
	return found, nil
}

func listener(fd int, name string) (net.Listener, error) {
	f, err := copyOf(fd, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the listener has a copy of its own
	return net.FileListener(f)
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		_ = l.Close()
	}
}
