package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

const (
	idleClients   = 2000
	activeClients = 500
	activeRounds  = 4         // messages of each active client
	activeSize    = 100 << 10 // bytes of each of them
	sessionsLimit = 180 << 20 // bytes that the process may need for all of them; 156 MB were measured
)

// TestSessionsMemory has 2,000 idle clients and 500 that hand over mail of 100 KB at the same time, and
// watches the memory of the process (its proportional set size).
func TestSessionsMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	if testing.Short() {
		t.Skip("2,500 connections: not in a short run")
	}
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Discard: true})
	p, addr := serveSessions(t, relay)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range idleClients + activeClients {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if got := roundTrip(c, "", 1); !strings.HasPrefix(got, "220") {
			t.Fatalf("client %d got %q", len(conns), got)
		}
		if got := roundTrip(c, "HELO client\r\n", 1); !strings.HasPrefix(got, "250") {
			t.Fatalf("client %d got %q", len(conns), got)
		}
	}
	more, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if got := roundTrip(more, "", 1); !strings.HasPrefix(got, "421") {
		t.Errorf("one client too many got %q", got)
	}
	idle := residentBytes(t, p.cmd.Process.Pid)
	peak := watchBytes(t, p.cmd.Process.Pid, func() { handOver(t, conns[:activeClients]) })
	t.Logf("idle %d MB, with %d active clients %d MB", idle>>20, activeClients, peak>>20)
	if peak > sessionsLimit {
		t.Errorf("%d MB for %d idle and %d active clients", peak>>20, idleClients, activeClients)
	}
}

// serveSessions starts a process that takes just so many clients.
func serveSessions(t *testing.T, relay *upstreamtest.SMTP) (*process, string) {
	addr := freeport.Addr(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	config := fmt.Sprintf(`state_dir = %q
[[listener]]
address = %q
max_connections = %d
[upstream.relay]
type = "smtp"
host = %q
port = %d
tls = "none"
[[route]]
via = ["relay"]
[admin]
address = "off"
[log]
level = "warn"
`, filepath.Join(dir, "state"), addr, idleClients+activeClients, relay.Host, relay.Port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe), log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Args = []string{"mailhatch", "serve", "-c", file}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	t.Cleanup(p.kill)
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			roundTrip(c, "QUIT\r\n", 2) // it is counted until it has gone
			c.Close()
			return p, addr
		}
		select {
		case <-p.ended:
			t.Fatalf("it did not start:\n%s", p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// roundTrip sends text and gives the last of so many lines.
func roundTrip(c net.Conn, text string, lines int) (last string) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte(text)); err != nil {
		return err.Error()
	}
	r := bufio.NewReaderSize(c, 16)
	for range lines {
		line, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		last = line
	}
	return last
}

// handOver has all clients send their mail, half of each message and then the rest.
func handOver(t *testing.T, clients []net.Conn) {
	text := []byte("From: a@example.com\r\nSubject: big\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", activeSize/72))
	var halves, all sync.WaitGroup
	halves.Add(len(clients))
	for _, c := range clients {
		all.Go(func() {
			for round := range activeRounds {
				for _, command := range []string{"MAIL FROM:<a@example.com>\r\n", "RCPT TO:<b@example.org>\r\n", "DATA\r\n", string(text[:len(text)/2])} {
					if round == 0 && len(command) > 100 {
						_, _ = c.Write([]byte(command))
						halves.Done()
						halves.Wait() // now the server has half of every message
						break
					}
					if len(command) > 100 {
						_, _ = c.Write([]byte(command))
						break
					}
					if got := roundTrip(c, command, 1); got[0] > '3' {
						t.Errorf("%s got %q", command, got)
					}
				}
				if got := roundTrip(c, string(text[len(text)/2:])+".\r\n", 1); !strings.HasPrefix(got, "250") {
					t.Errorf("the message got %q", got)
				}
			}
		})
	}
	all.Wait()
}

// watchBytes returns the greatest memory of a process while f runs.
func watchBytes(t *testing.T, pid int, f func()) int64 {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	peak := residentBytes(t, pid)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return max(peak, residentBytes(t, pid))
		case <-tick.C:
			peak = max(peak, residentBytes(t, pid))
		}
	}
}

// residentBytes is the proportional set size of a process.
func residentBytes(t *testing.T, pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no Pss in smaps_rollup")
	return 0
}
