package freeport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOutside(t *testing.T) {
	for text, want := range map[string][2]int{
		"32768\t60999\n": {20_000, 32_767},
		"15000 60999":    {14_000, 14_999},
		"1024 60999":     {61_000, 65_535},
		"1024 65535":     {first, last},
		"":               {first, last},
		"61000 32768":    {first, last},
	} {
		if from, to := outside(text); from != want[0] || to != want[1] {
			t.Errorf("%q: %d to %d", text, from, to)
		}
	}
}

// TestReserveInACrowd: whatever connections and listeners take a port of the system's choice meanwhile, one
// that was handed out can be bound, as often as its owner likes.
func TestReserveInACrowd(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				crowd(ctx, server.Addr().String())
			}
		})
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { _, _ = c.Read(make([]byte, 1)); _ = c.Close() })
		}
	}()
	var addrs []string
	for range 300 {
		addrs = append(addrs, Addr(t))
	}
	for _, addr := range slices.Concat(addrs, addrs) {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = l.Close()
	}
	stop()
	_ = server.Close()
	<-accepted
	clients.Wait()
}

// crowd takes many ports at once, for connections and for listeners.
func crowd(ctx context.Context, addr string) {
	var d net.Dialer
	var taken []io.Closer
	for range 100 {
		if c, err := d.DialContext(ctx, "tcp", addr); err == nil {
			taken = append(taken, c)
		}
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
			taken = append(taken, l)
		}
	}
	for _, c := range taken {
		_ = c.Close()
	}
}

// TestReserveIsUnique among processes: several of them ask at once for ports of a small range.
func TestReserveIsUnique(t *testing.T) {
	const processes, each, from, to = 4, 20, 18_000, 18_999
	if os.Getenv("FREEPORT_CHILD") != "" {
		for range each {
			port, err := reserve(t.Context(), from, to)
			fmt.Println("port", port, err)
		}
		fmt.Println("end")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the others have theirs, too
		return
	}
	seen := map[string]bool{}
	for range processes {
		cmd := exec.Command(os.Args[0], "-test.run=^TestReserveIsUnique$")
		cmd.Env = append(os.Environ(), "FREEPORT_CHILD=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close(); _ = cmd.Wait() }()
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "end" {
			if !strings.HasPrefix(lines.Text(), "port ") {
				continue
			}
			if seen[lines.Text()] || !strings.HasSuffix(lines.Text(), " <nil>") {
				t.Error(lines.Text())
			}
			seen[lines.Text()] = true
		}
	}
	if len(seen) != processes*each {
		t.Errorf("%d ports", len(seen))
	}
}

// TestReserveEnds: a port is given back with its context, and what others listen on is not handed out.
func TestReserveEnds(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		if !canListen(host, 0) {
			continue // a machine without IPv6
		}
		ctx, end := context.WithCancel(t.Context())
		port, err := Reserve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reserve(t.Context(), port, port+1); err == nil || !strings.Contains(err.Error(), "is free") {
			t.Errorf("handed out twice: %v", err)
		}
		l, err := net.Listen("tcp", loopback(host, port))
		if err != nil {
			t.Fatal(err)
		}
		end()
		for !canListen("127.0.0.1", port+1) {
			time.Sleep(time.Millisecond) // the reservation ends on its own
		}
		if _, err := reserve(t.Context(), port, port+1); err == nil {
			t.Errorf("another listens on %s", host)
		}
		_ = l.Close()
	}
	if _, err := reserve(t.Context(), first, first); err == nil || !strings.Contains(err.Error(), "no ports") {
		t.Error(err)
	}
}
