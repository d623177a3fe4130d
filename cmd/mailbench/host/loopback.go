package host

import (
	"fmt"
	"net"
	"strconv"
)

// RequireLoopback refuses an address that is not on this machine: a load generator that can be aimed
// elsewhere, or a sink that strangers can reach, is a hazard.
func RequireLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address %q is not a loopback IP address such as 127.0.0.1", addr)
	}
	return nil
}

// Loopback is 127.0.0.1 with a port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
