package smtpd

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostile are clients that do harm in their ways; each gets a fresh connection.
var hostile = map[string]func(c net.Conn){
	"slow": func(c net.Conn) {
		for _, b := range []byte("EHLO slow\r\nMAIL FROM:<a@b.c>\r\n") {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	},
	"flooding": func(c net.Conn) {
		for range 200 {
			if _, err := io.WriteString(c, strings.Repeat("NOOP\r\n", 100)); err != nil {
				return
			}
		}
	},
	"endless line": func(c net.Conn) {
		io.WriteString(c, strings.Repeat("A", 1<<20))
	},
	"dropping": func(c net.Conn) {
		io.WriteString(c, "EHLO x\r\nMAIL FROM:<bad@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhalf a mess")
	},
	"half-closing": func(c net.Conn) {
		io.WriteString(c, "EHLO x\r\nMAIL FROM:<bad@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhalf\r\n.\r")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	},
	"resetting": func(c net.Conn) {
		io.WriteString(c, "EHLO x\r\nMAIL FROM:<bad@b.c>\r\n")
		c.(*net.TCPConn).SetLinger(0)
	},
	"garbage": func(c net.Conn) {
		b := make([]byte, 4096)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		c.Write(b)
		io.Copy(io.Discard, c)
	},
	"panicking": func(c net.Conn) {
		io.WriteString(c, "EHLO x\r\nMAIL FROM:<panic@b.c>\r\n")
		io.Copy(io.Discard, c)
	},
	"silent": func(c net.Conn) { io.Copy(io.Discard, c) },
	"stalling": func(c net.Conn) {
		io.WriteString(c, "EHLO x\r\nMAIL FROM:<bad@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhalf")
		io.Copy(io.Discard, c)
	},
}

// TestHostileAndGood has 200 hostile clients at once beside 20 good ones, which lose nothing.
func TestHostileAndGood(t *testing.T) {
	const evil, good, each = 200, 20, 10
	s := run(t, func(c *Config) { c.IdleTimeout = 3 * time.Second })
	var bad, fine sync.WaitGroup
	names := make([]string, 0, len(hostile))
	for name := range hostile {
		names = append(names, name)
	}
	for i := range evil {
		bad.Go(func() {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			hostile[names[i%len(names)]](c)
		})
	}
	for i := range good {
		fine.Go(func() {
			for j := range each {
				if err := deliver(s.addr, fmt.Sprintf("good %d %d", i, j)); err != nil {
					t.Errorf("client %d, message %d: %v", i, j, err)
				}
			}
		})
	}
	fine.Wait()
	bad.Wait()
	s.stop()
	seen := map[string]int{}
	for _, m := range s.k.got() {
		seen[m.text]++
	}
	for i := range good {
		for j := range each {
			if n := seen[fmt.Sprintf("good %d %d\r\n", i, j)]; n != 1 {
				t.Errorf("message %d %d was kept %d times", i, j, n)
			}
		}
	}
	if len(seen) != good*each {
		t.Errorf("%d messages kept, want %d", len(seen), good*each)
	}
}

// deliver hands one message over a new connection.
func deliver(addr, text string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, "EHLO good\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"+text+"\r\n.\r\nQUIT\r\n")
	all, err := io.ReadAll(c)
	if !strings.Contains(string(all), "250 2.0.0 OK: queued as") {
		return fmt.Errorf("said %q (%v)", all, err)
	}
	return nil
}
