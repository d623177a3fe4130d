//go:build unix

package gateway

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells the service manager how it stands with the program (sd_notify(3)). Without a
// service manager it tells nobody.
type notifier struct{ socket string }

func newNotifier() notifier { return notifier{os.Getenv("NOTIFY_SOCKET")} }

func (n notifier) ready() error    { return n.send("READY=1") }
func (n notifier) stopping() error { return n.send("STOPPING=1") }
func (n notifier) alive() error    { return n.send("WATCHDOG=1") }

// reloading must be followed by ready. The time lets the service manager sort out crossing messages.
func (n notifier) reloading() error {
	if n.socket == "" {
		return nil
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", time.Duration(now.Nano()).Microseconds()))
}

// send writes one datagram; a name that begins with @ is in the abstract namespace of Linux.
func (n notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}

// watchdog is how often the service manager wants a sign of life at least (sd_watchdog_enabled(3));
// 0 when it wants none.
func (n notifier) watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || n.socket == "" {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}
