package listen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// named answers each client with a name.
type named string

func (n named) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		_, _ = io.WriteString(c, string(n)+"\n")
		_ = c.Close()
	}
}

func at(address, name string) Endpoint {
	return Endpoint{Name: "test", Address: address, Settings: name, Public: true,
		Server: func() (Server, error) { return named(name), nil },
		Bind: func() ([]net.Listener, error) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if address == "taken" {
				return nil, errors.Join(err, l.Close(), errors.New("address already in use"))
			}
			return []net.Listener{l}, err
		}}
}

func ask(t *testing.T, addr net.Addr) string {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		return "refused"
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// TestSet: endpoints of any kind come, change and go together or not at all.
func TestSet(t *testing.T) {
	var reported []string
	s := New(slog.New(slog.DiscardHandler), func(where string, err error) { reported = append(reported, where+": "+err.Error()) })
	optional := at("taken", "x")
	optional.Optional = true
	if err := s.Open([]Endpoint{at("a", "one"), at("b", "two"), optional}); err != nil {
		t.Fatal(err)
	}
	if len(reported) != 1 || !strings.HasPrefix(reported[0], "test: ") {
		t.Errorf("reported %q", reported)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	apply := func(list ...Endpoint) {
		t.Helper()
		c, err := s.Prepare(list)
		if err == nil {
			err = c.Apply()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// A change that comes before Run is not forgotten.
	go func() { done <- s.Run(ctx, func() {}) }()
	apply(at("a", "one"), at("b", "three"), at("c", "four"))
	addrs := s.Addrs()
	if len(addrs) != 3 {
		t.Fatalf("after a change: %v", addrs)
	}
	second := "two" // its server may take a client while it is being stopped
	for second == "two" {
		second = ask(t, addrs[1])
	}
	if ask(t, addrs[0]) != "one" || second != "three" || ask(t, addrs[2]) != "four" {
		t.Errorf("after a change: %v", addrs)
	}
	if _, err := s.Prepare([]Endpoint{at("d", "five"), at("taken", "six")}); err == nil || !strings.HasPrefix(err.Error(), "test taken: ") {
		t.Errorf("an address that is in use: %v", err)
	}
	apply(at("c", "four"))
	if now := s.Addrs(); len(now) != 1 || now[0] != addrs[2] || ask(t, addrs[0]) != "refused" || ask(t, addrs[2]) != "four" {
		t.Errorf("after the removal: %v", now)
	}
	late, err := s.Prepare([]Endpoint{at("e", "late")})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := late.Apply(); !errors.Is(err, errStopping) {
		t.Errorf("a change after the end: %v", err)
	}
}
