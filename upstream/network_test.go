package upstream_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"mailhatch/upstream"
)

func TestDialer(t *testing.T) {
	for bind, good := range map[string]bool{"": true, "127.0.0.1": true, "::1": true, "::ffff:127.0.0.1": true, "0.0.0.0": false, "::": false, "eth0": false,
		"127.0.0.1:25": false, "224.0.0.1": false, "10.0.0.0/8": false} {
		d, err := upstream.Dialer(bind, time.Minute)
		var ke *upstream.KeyError
		if good != (err == nil) || !good && (!errors.As(err, &ke) || ke.Key != "bind") || good && d.Timeout != time.Minute {
			t.Errorf("%q: %v, %v", bind, d, err)
		}
	}
}

// TestDialerBinds: the other side sees the address.
func TestDialerBinds(t *testing.T) {
	const address = "127.0.0.2"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if probe, err := net.Listen("tcp", address+":0"); err != nil {
		t.Skip("this machine has one loopback address only: ", err)
	} else {
		probe.Close()
	}
	d, err := upstream.Dialer(address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if host, _, _ := net.SplitHostPort(in.RemoteAddr().String()); host != address {
		t.Errorf("it comes from %s", host)
	}
}
