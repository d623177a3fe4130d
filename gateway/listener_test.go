package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// holding is a config whose mail stays in the queue, to be looked at.
const holding = "\n[upstream.main]\ntype = \"memory\"\n[[route]]\nhold = true\n[identity]\ndomain = \"example.com\"\n"

// talker speaks SMTP line by line.
type talker struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dialTalker(t *testing.T, network, address string) *talker {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newTalker(t, conn)
}

func newTalker(t *testing.T, conn net.Conn) *talker {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &talker{t, conn, bufio.NewReader(conn)}
}

// reply reads a whole reply; what was read before an error is given.
func (p *talker) reply() string {
	var all strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) > 3 && line[3] == ' ' {
			return all.String()
		}
	}
}

// want reads a reply that begins so.
func (p *talker) want(prefix string) string {
	p.t.Helper()
	got := p.reply()
	if !strings.HasPrefix(got, prefix) || prefix == "" && got != "" {
		p.t.Errorf("reply %q, want %q", got, prefix)
	}
	return got
}

// talk sends a line and wants a reply, again and again.
func (p *talker) talk(pairs ...string) {
	p.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if _, err := io.WriteString(p.conn, pairs[i]+"\r\n"); err != nil {
			p.t.Fatal(err)
		}
		if got := p.reply(); !strings.HasPrefix(got, pairs[i+1]) {
			p.t.Fatalf("%.100q: reply %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

var (
	greet  = []string{"EHLO me", "250"}
	begin  = []string{"EHLO me", "250", "MAIL FROM:<x@example.com>", "250", "RCPT TO:<a@example.org>", "250", "DATA", "354"}
	noMail = []string{"MAIL FROM:<x@example.com>", "450 4.7.1"}
)

// heldMail returns the messages in the queue.
func (h *house) heldMail() []queue.Message {
	h.t.Helper()
	list, err := h.g.queue.List(h.t.Context(), queue.Filter{State: envelope.Held}, queue.Page{})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func TestListenerSettings(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for name, tc := range map[string]struct {
		keys   string
		banner string
		talk   [][]string
		kept   int
	}{
		"lines of any length": {"", "220 gw.example.com ESMTP\r\n", [][]string{begin, {"Subject: x\r\n\r\n" + long + "\r\n.", "250"}}, 1},
		"max_line":            {"max_line = \"1000B\"", "220", [][]string{begin, {"Subject: x\r\n\r\n" + long + "\r\n.", "554 5.6.0"}, begin[2:], {"Subject: x\r\n.", "250"}}, 1},
		"bare newlines":       {"", "220", [][]string{begin, {"a: b\nc: d\n\n.\n.\r\r\n.", "250"}}, 1},
		"bare_newlines":       {"bare_newlines = \"reject\"", "220", [][]string{begin, {"a: b\nc: d\n\nx\r\n.", "554 5.6.0"}}, 0},
		"max_rate":            {"max_rate = \"1/h\"", "220", [][]string{begin, {"a: b\r\n.", "250"}, noMail}, 1},
		"banner":              {"banner = \"no spam, please\"", "220 gw.example.com ESMTP no spam, please\r\n", [][]string{greet}, 0},
		"max_message":         {"max_message = \"2KB\"", "220", [][]string{greet, {"MAIL FROM:<x@example.com> SIZE=2001", "552 5.3.4"}, begin, {"a: b\r\n\r\n" + long + "\r\n.", "552 5.3.4"}}, 0},
		"max_recipients":      {"max_recipients = 1", "220", [][]string{begin[:6], {"RCPT TO:<b@example.org>", "452 4.5.3", "DATA", "354", "a: b\r\n.", "250"}}, 1},
		"proxy_from":          {"proxy_from = [\"127.0.0.1\"]\nallow = [\"192.0.2.0/24\"]", "", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\n"+tc.keys+holding)
			p := dialTalker(t, "tcp", h.addr)
			if tc.talk == nil {
				testProxied(t, h, p)
				return
			}
			p.want(tc.banner)
			for _, pairs := range tc.talk {
				p.talk(pairs...)
			}
			if n := len(h.heldMail()); n != tc.kept {
				t.Errorf("%d messages kept, want %d", n, tc.kept)
			}
		})
	}
}

// testProxied has a proxy tell who comes.
func testProxied(t *testing.T, h *house, p *talker) {
	fmt.Fprint(p.conn, "PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n")
	p.want("220")
	p.talk(begin...)
	p.talk("a: b\r\n.", "250")
	if c := h.heldMail()[0].Envelope.Client; c.Addr.String() != "192.0.2.7" {
		t.Errorf("client %+v", c)
	}
	stranger := dialTalker(t, "tcp", h.addr)
	fmt.Fprint(stranger.conn, "PROXY TCP4 198.51.100.7 10.0.0.1 4711 25\r\n")
	stranger.want("554 5.7.1")
	silent := dialTalker(t, "tcp", h.addr)
	fmt.Fprint(silent.conn, "EHLO me\r\n")
	silent.want("")
}

func TestListenerConnections(t *testing.T) {
	for name, keys := range map[string]string{"in all": "max_connections = 2", "of one client": "max_connections_per_client = 2"} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\n"+keys+holding)
			first := dialTalker(t, "tcp", h.addr)
			first.want("220")
			dialTalker(t, "tcp", h.addr).want("220")
			dialTalker(t, "tcp", h.addr).want("421 4.7.0")
			first.talk("QUIT", "221")
			first.want("")
			h.await("room for another", func() bool {
				return strings.HasPrefix(dialTalker(t, "tcp", h.addr).reply(), "220")
			})
		})
	}
}

func TestListenerIdle(t *testing.T) {
	h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\nidle_timeout = \"1s\""+holding)
	p := dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.want("421 4.4.2")
	p.want("")
}

// What is being received at once is bounded for all listeners together, and told at MAIL.
func TestMaxInFlight(t *testing.T) {
	h := newHouse(t, "max_in_flight = \"64KiB\"\n[[listener]]\naddress = \"ADDR\"\nmax_message = \"60KiB\""+holding)
	first := dialTalker(t, "tcp", h.addr)
	first.want("220")
	first.talk(begin...)
	fmt.Fprint(first.conn, "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 998)+"\r\n", 50))
	second := dialTalker(t, "tcp", h.addr)
	second.want("220")
	second.talk(greet...)
	h.await("the refusal at MAIL", func() bool {
		fmt.Fprint(second.conn, "MAIL FROM:<x@example.com>\r\n")
		if strings.HasPrefix(second.reply(), "452 4.3.1") {
			return true
		}
		second.talk("RSET", "250")
		return false
	})
	first.talk(".", "250")
	second.talk("MAIL FROM:<x@example.com>", "250")
}

// TestCommandsFindTheGateway: whoever can connect to a listener finds the admin socket, too.
func TestCommandsFindTheGateway(t *testing.T) {
	h := newHouse(t, holding)
	list := h.g.listeners(h.cfg)
	last := -1
	for i, e := range list {
		if e.Name == "admin" {
			last = i
		}
		if e.Address == h.addr && (last < 0 || list[last].Name != "admin") {
			t.Errorf("%s is bound before the admin socket", e.Address)
		}
	}
	if last < 0 {
		t.Error("there is no admin socket")
	}
}
