//go:build unix

package gateway

import (
	"errors"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDatabaseTakenAway: no 250 for mail that would go with a file that was removed.
func TestDatabaseTakenAway(t *testing.T) {
	h, fake := resendHouse(t, "")
	fake.SetKey("changed")
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the refusal of the key", func() bool { return strings.Contains(h.log.String(), "msg=deferred") })
	if err := os.Remove(filepath.Join(h.g.current.Load().StateDir, "queue.db")); err != nil {
		t.Fatal(err)
	}
	// The gateway may have noticed by itself and have closed the connection.
	var reply *textproto.Error
	if err := h.send("x@example.com", []string{"b@example.org"}, plainMail); err == nil || errors.As(err, &reply) && reply.Code != 451 && reply.Code != 421 {
		t.Errorf("got %v, want 451", err)
	}
	h.await("the end of the gateway", func() bool {
		c, err := net.Dial("tcp", h.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if err := h.stop(); err == nil || !strings.Contains(err.Error(), "queue.db was removed") {
		t.Errorf("the gateway ended with %v", err)
	}
	fake.SetKey("k")
	h.start()
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the mail", func() bool {
		for _, m := range fake.Accepted() {
			if strings.Contains(strings.Join(m.Recipients, " "), "a@example.org") {
				return true
			}
		}
		return false
	})
}
