package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// Notifier reports the state of the program to the service manager; without one it does nothing.
type Notifier struct{ socket string }

// NewNotifier returns the notifier of $NOTIFY_SOCKET.
func NewNotifier() Notifier { return Notifier{os.Getenv("NOTIFY_SOCKET")} }

// Ready reports that the program serves.
func (n Notifier) Ready() error { return n.send("READY=1") }

// Stopping reports that the program has begun to shut down.
func (n Notifier) Stopping() error { return n.send("STOPPING=1") }

// Listens reports whether there is a service manager.
func (n Notifier) Listens() bool { return n.socket != "" }

// Status describes the state of the program in one line, for people.
func (n Notifier) Status(line string) error { return n.send("STATUS=" + line) }

// Alive is a sign of life.
func (n Notifier) Alive() error { return n.send("WATCHDOG=1") }

// Reloading must be followed by Ready. The time lets the service manager sort out crossing messages.
func (n Notifier) Reloading() error {
	if n.socket == "" {
		return nil
	}
	now, err := monotonic()
	if err != nil {
		return err
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Microseconds()))
}

// send writes one datagram; a name that begins with @ is in the abstract namespace of Linux.
func (n Notifier) send(state string) error {
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

// Watchdog is how often the service manager wants a sign of life at least (sd_watchdog_enabled(3));
// 0 when it wants none.
func (n Notifier) Watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || n.socket == "" {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}
