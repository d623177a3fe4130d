package smtp

import (
	"net"
	"slices"
	"testing"
	"time"

	"mailhatch/upstream/upstreamtest"
)

// callsConn notes the calls of a connection.
type callsConn struct {
	net.Conn
	calls []string
}

func (c *callsConn) Write(p []byte) (int, error) {
	c.calls = append(c.calls, "write")
	return c.Conn.Write(p)
}

func (c *callsConn) SetDeadline(t time.Time) error {
	c.calls = append(c.calls, "deadline")
	return c.Conn.SetDeadline(t)
}

// TestSMTPWrites checks that pipelined commands leave at once, the message too, and that replies which
// came together are waited for once.
func TestSMTPWrites(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	m := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x", "b@x", "c@x")
	upstreamtest.CheckOutcomes(t, u.Send(t.Context(), m), "ok FAKE1", "ok FAKE1", "ok FAKE1")
	conn := &callsConn{Conn: u.pool.idle[0].raw.Conn}
	u.pool.idle[0].raw.Conn = conn
	upstreamtest.CheckOutcomes(t, u.Send(t.Context(), m), "ok FAKE2", "ok FAKE2", "ok FAKE2")
	// One write and one wait for the commands, and for the message; each replied to in its turn.
	if calls := slices.Compact(conn.calls); !slices.Equal(calls, []string{"deadline", "write", "deadline", "write", "deadline"}) {
		t.Errorf("%v", conn.calls)
	}
}

// TestSMTPHeldReplies takes replies that are there already without touching the connection.
func TestSMTPHeldReplies(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
	c := u.pool.get()
	defer u.pool.put(c)
	conn := &callsConn{Conn: c.raw.Conn}
	c.raw.Conn = conn
	c.client.Text.R.Reset(&replies{text: "250-2.1.0 one\r\n250 2.1.0 more\r\n250 two\r\n"})
	for _, want := range []string{"one more", "two"} {
		if r, err := c.readReply(time.Minute); err != nil || r.Code != 250 || r.Text != want {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if len(conn.calls) != 1 {
		t.Errorf("%v", conn.calls)
	}
	c.broken = true
}

// replies come all at once.
type replies struct{ text string }

func (r *replies) Read(p []byte) (int, error) {
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}
