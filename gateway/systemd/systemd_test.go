//go:build unix

package systemd

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNotActivated(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	if _, err := Listeners("smtp"); err == nil || !strings.Contains(err.Error(), "socket unit") {
		t.Errorf("sockets of another process: %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	for _, tc := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"0", "", 0}, {"x", "", 0}, {"30000000", "", 30 * time.Second},
		{"30000000", strconv.Itoa(os.Getpid()), 30 * time.Second}, {"30000000", "1", 0},
	} {
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		if got := NewNotifier().Watchdog(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	if err := NewNotifier().Ready(); err == nil {
		t.Error("nobody was there to tell")
	}
	if err := (Notifier{}).Reloading(); err != nil {
		t.Errorf("no service manager: %v", err)
	}
}
