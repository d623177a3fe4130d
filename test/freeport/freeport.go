// Package freeport hands out TCP ports that stay free until those who asked bind them. A port that the system
// chose and that was closed again is anybody's: the next outgoing connection of any process may leave from it.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

// Ports come in pairs: the even one is handed out, and whoever listens on the odd one after it holds both.
// So no two calls get the same port, be they of one process or of several.
const pair = 2

// The ports that are handed out where the system does not say which ones it gives to outgoing connections.
// macOS and Windows begin at 49152, Linux at 32768 unless told otherwise.
const (
	first = 20_000
	last  = 32_767
)

// ephemeralFile is where Linux says which ports outgoing connections leave from (tcp(7)).
const ephemeralFile = "/proc/sys/net/ipv4/ip_local_port_range"

// Reserve returns a port that is free on 127.0.0.1 and ::1, is never that of an outgoing connection, and is
// not handed out again, to any process, before ctx ends. ctx has to end some time.
func Reserve(ctx context.Context) (int, error) {
	text, err := os.ReadFile(ephemeralFile)
	if err != nil {
		text = nil // not Linux
	}
	from, to := outside(string(text))
	return reserve(ctx, from, to)
}

// Test is what Addr needs of a testing.TB: programs that import this package do not link testing.
type Test interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Addr returns a reserved address of 127.0.0.1, which is the test's until it has cleaned up.
func Addr(t Test) string {
	t.Helper()
	return "127.0.0.1:" + strconv.Itoa(Port(t))
}

// Port returns the port of such an address.
func Port(t Test) int {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	port, err := Reserve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// outside returns a range of ports beside those that outgoing connections leave from: below, if there are
// enough, else above. text is that of ephemeralFile, "" if unknown.
func outside(text string) (from, to int) {
	const (
		enough = 1_000
		lowest = 10_000 // services with a fixed port are mostly below
	)
	var low, high int
	if _, err := fmt.Sscan(text, &low, &high); err != nil || low > high {
		return first, last
	}
	switch {
	case low-lowest >= enough:
		return max(lowest, min(first, low-enough)), low - 1
	case 65_535-high >= enough:
		return high + 1, 65_535
	}
	return first, last // nothing is left beside them: as good as it gets
}

// reserve searches from..to from a random place on.
func reserve(ctx context.Context, from, to int) (int, error) {
	from += from % pair
	pairs := (to - from + 1) / pair
	if pairs <= 0 {
		return 0, fmt.Errorf("no ports between %d and %d", from, to)
	}
	start := rand.IntN(pairs)
	for i := range pairs {
		port := from + (start+i)%pairs*pair
		guard, err := net.Listen("tcp", loopback("127.0.0.1", port+1))
		if err != nil {
			continue
		}
		if free(port) {
			context.AfterFunc(ctx, func() { _ = guard.Close() })
			return port, nil
		}
		_ = guard.Close()
	}
	return 0, fmt.Errorf("no port between %d and %d is free", from, to)
}

// free reports whether a port can be bound on both loopback addresses, or on that which the machine has.
func free(port int) bool {
	if !canListen("127.0.0.1", port) {
		return false
	}
	return canListen("::1", port) || !canListen("::1", 0)
}

func canListen(host string, port int) bool {
	l, err := net.Listen("tcp", loopback(host, port))
	return err == nil && l.Close() == nil
}

func loopback(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
