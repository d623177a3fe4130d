//go:build unix

package gateway

import (
	"context"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/systemd"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a service manager's end of NOTIFY_SOCKET.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(shortDir(t), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// notified reads the next message that is neither a sign of life nor a line for people, and counts the former.
func notified(t *testing.T, c *net.UnixConn) (state string, signs int) {
	t.Helper()
	for {
		b := make([]byte, 200)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		switch state = string(b[:n]); {
		case state == "WATCHDOG=1":
			signs++
		case !strings.HasPrefix(state, "STATUS="):
			return state, signs
		}
	}
}

func TestServiceManagerIsNotified(t *testing.T) {
	c := manager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	h := newHouse(t, holding)
	if state, _ := notified(t, c); state != "READY=1" {
		t.Fatalf("notified %q", state)
	}
	for signs := 0; signs < 3; signs++ {
		b := make([]byte, 200)
		n, err := c.Read(b)
		if strings.HasPrefix(string(b[:n]), "STATUS=") {
			signs--
		} else if err != nil || string(b[:n]) != "WATCHDOG=1" {
			t.Fatalf("notified %q, %v", b[:n], err)
		}
	}
	for _, text := range []string{holding, "nonsense"} { // ready again, whatever came of it
		h.write(text)
		err := h.g.Reload(t.Context())
		if (err == nil) != (text == holding) {
			t.Errorf("reload: %v", err)
		}
		if state, _ := notified(t, c); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[0-9]{6,}$`).MatchString(state) {
			t.Errorf("notified %q", state)
		}
		if state, _ := notified(t, c); state != "READY=1" {
			t.Errorf("notified %q", state)
		}
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if state, _ := notified(t, c); state != "STOPPING=1" {
		t.Errorf("notified %q", state)
	}
}

// A gateway whose queue does not answer gives no sign of life.
func TestNoSignOfLifeWithoutQueue(t *testing.T) {
	h := newHouse(t, holding)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	c := manager(t)
	t.Setenv("WATCHDOG_USEC", "2000")
	h.g.notifier = systemd.NewNotifier()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.g.keepAlive(ctx) }()
	h.await("the queue's answer", func() bool { return strings.Contains(h.log.String(), "where=queue") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if state, signs := notified(t, c); state != "STOPPING=1" || signs != 0 {
		t.Errorf("notified %q after %d signs of life", state, signs)
	}
}

func TestStatusLine(t *testing.T) {
	for _, row := range []struct {
		depths    map[envelope.State]queue.Depth
		upstreams []gate.Status
		waiting   []string
		want      string
	}{
		{nil, []gate.Status{{Name: "main", State: "open"}}, nil, "queue: empty"},
		{map[envelope.State]queue.Depth{envelope.Queued: {Parts: 12}, envelope.Failed: {Parts: 1}, envelope.Held: {}},
			[]gate.Status{{Name: "main", State: "closed", Reason: "account"}, {Name: "relay", State: "probing", Reason: "unreachable"},
				{Name: "bulk", State: "open", Refused: []gate.Refused{{From: "root@example.com"}}}},
			[]string{"listener 192.0.2.7:25 waits for its address: no"},
			"queue: 12 queued, 1 failed; upstream main is closed (account); upstream bulk refuses some senders; listener 192.0.2.7:25 waits for its address: no"},
	} {
		if got := statusLine(row.depths, row.upstreams, row.waiting); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}

// TestStatusIsTold: at once and after changes, and nothing while nothing changes.
func TestStatusIsTold(t *testing.T) {
	h := newHouse(t, holding)
	c := manager(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.g.tellStatus(ctx, systemd.NewNotifier(), time.Millisecond) }()
	want := []string{"STATUS=queue: empty", "STATUS=queue: 1 held", "STATUS=queue: 2 held"}
	for i, line := range want {
		b := make([]byte, 200)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(b); err != nil || string(b[:n]) != line {
			t.Fatalf("told %q, %v, want %q", b[:n], err, line)
		}
		if i < len(want)-1 {
			h.mustSend("a@example.com", []string{"b@example.org"}, "Subject: x\r\n\r\nx\r\n")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
