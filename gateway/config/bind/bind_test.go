package bind

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"mailhatch/test/freeport"
)

func parse(t *testing.T, s string) Address {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return a
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "localhost", "127.0.0.1", "::1:25", "a:smtp", "a:65536", "a:-1", "[::1:25", "*:25", "0:25", "127.1:25", "$HOST:25", "smtp://127.0.0.1:25"} {
		if a, err := Parse(bad); err == nil {
			t.Errorf("%q is %+v", bad, a)
		}
	}
}

func TestSockets(t *testing.T) {
	for _, c := range []struct {
		address string
		others  []string
		want    []Socket
	}{
		{"127.0.0.1:2525", nil, []Socket{{"tcp4", "127.0.0.1:2525", false}}},
		{"127.0.0.1:02525", nil, []Socket{{"tcp4", "127.0.0.1:2525", false}}},
		{"0.0.0.0:2525", nil, []Socket{{"tcp4", "0.0.0.0:2525", false}}},
		{"[::ffff:0.0.0.0]:2525", nil, []Socket{{"tcp4", "0.0.0.0:2525", false}}},
		{"[::]:2525", nil, []Socket{{"tcp", "[::]:2525", false}}},
		{"[::]:2525", []string{"[::]:25", "127.0.0.1:26"}, []Socket{{"tcp", "[::]:2525", false}}},
		{"[::]:2525", []string{"[::]:25", "127.0.0.1:2525"}, []Socket{{"tcp6", "[::]:2525", false}}},
		{"[::]:0", []string{"0.0.0.0:0"}, []Socket{{"tcp", "[::]:0", false}}},
		{"[::1]:2525", nil, []Socket{{"tcp6", "[::1]:2525", false}}},
		{"[fe80::1%eth0]:2525", nil, []Socket{{"tcp6", "[fe80::1%eth0]:2525", false}}},
		{":2525", nil, []Socket{{"tcp", ":2525", false}}},
		{"mail.example.com:2525", nil, []Socket{{"tcp", "mail.example.com:2525", false}}},
		{"localhost:2525", nil, []Socket{{"tcp4", "127.0.0.1:2525", false}, {"tcp6", "[::1]:2525", true}}},
		{"localhost:0", nil, []Socket{{"tcp", "localhost:0", false}}},
	} {
		var others []Address
		for _, o := range c.others {
			others = append(others, parse(t, o))
		}
		if got := parse(t, c.address).Sockets(others); !slices.Equal(got, c.want) {
			t.Errorf("%s beside %v: %+v", c.address, c.others, got)
		}
	}
}

func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:25", "0.0.0.0:25", true},
		{"127.0.0.1:25", "0.0.0.0:26", false},
		{"127.0.0.1:25", "127.0.0.1:025", true},
		{"127.0.0.1:25", "127.0.0.2:25", false},
		{"127.0.0.1:25", "[::1]:25", false},
		{"127.0.0.1:25", "[::]:25", false},
		{"0.0.0.0:25", "[::]:25", false},
		{"[::1]:25", "[::]:25", true},
		{"[fe80::1%eth0]:25", "[fe80::1%eth1]:25", false},
		{"[fe80::1%eth0]:25", "[::]:25", true},
		{"[::ffff:127.0.0.1]:25", "127.0.0.1:25", true},
		{":25", "127.0.0.1:25", true},
		{":25", "[::1]:25", true},
		{":25", "[::]:25", true},
		{":25", "0.0.0.0:25", true},
		{":25", ":25", true},
		{":0", ":0", false},
		{"0.0.0.0:0", "127.0.0.1:0", false},
		{"localhost:25", "127.0.0.1:25", true},
		{"localhost:25", "[::1]:25", true},
		{"localhost:25", "0.0.0.0:25", true},
		{"localhost:25", "127.0.0.2:25", false},
		{"localhost:25", "localhost:25", true},
		{"a.example:25", "a.example:25", true},
		{"a.example:25", "b.example:25", false},
		{"a.example:25", "127.0.0.1:25", false},
		{"a.example:25", "0.0.0.0:25", true},
		{"a.example:25", ":25", true},
		{"a.example:25", "[::]:25", false},
	} {
		a, b := parse(t, c.a), parse(t, c.b)
		if a.Overlaps(b) != c.want || b.Overlaps(a) != c.want {
			t.Errorf("%s and %s: %v, %v", c.a, c.b, a.Overlaps(b), b.Overlaps(a))
		}
	}
}

// What does not overlap can be bound side by side, and takes no more than it says.
func TestBound(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	} else {
		l.Close()
	}
	port := freeport.Port(t)
	v4, v6 := parse(t, fmt.Sprintf("0.0.0.0:%d", port)), parse(t, fmt.Sprintf("[::]:%d", port))
	listen := func(s Socket) net.Listener {
		l, err := net.Listen(s.Network, s.Address)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	reaches := func(network, host string) bool {
		c, err := net.Dial(network, net.JoinHostPort(host, fmt.Sprint(port)))
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	first := listen(v4.Sockets(nil)[0])
	if !reaches("tcp4", "127.0.0.1") || reaches("tcp6", "::1") {
		t.Error("0.0.0.0 answers on IPv6, or not on IPv4")
	}
	second := listen(v6.Sockets([]Address{v4})[0])
	if !reaches("tcp6", "::1") {
		t.Error("[::] does not answer on IPv6")
	}
	first.Close()
	if reaches("tcp4", "127.0.0.1") {
		t.Error("[::] answers on IPv4 although it is not alone")
	}
	second.Close()
	defer listen(v6.Sockets(nil)[0]).Close()
	if !reaches("tcp4", "127.0.0.1") || !reaches("tcp6", "::1") {
		t.Error("[::] alone does not answer on both")
	}
}
