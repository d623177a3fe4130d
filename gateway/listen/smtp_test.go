package listen

import (
	"net"
	"testing"

	"mailhatch/gateway/config/bind"
	"mailhatch/test/freeport"
)

func TestListenAll(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := bind.Socket{Network: "tcp4", Address: freeport.Addr(t)}
	second := bind.Socket{Network: "tcp4", Address: freeport.Addr(t), Spare: true}
	inUse := bind.Socket{Network: "tcp4", Address: taken.Addr().String()}
	spareInUse, nowhere := inUse, bind.Socket{Network: "tcp4", Address: "192.0.2.1:1025", Spare: true} // RFC 5737: nobody's
	spareInUse.Spare = true
	for name, c := range map[string]struct {
		sockets       []bind.Socket
		open, missing int
		fails         bool
	}{
		"all":                       {[]bind.Socket{free, second}, 2, 0, false},
		"no IPv6":                   {[]bind.Socket{free, nowhere}, 1, 0, false},
		"another program has ::1":   {[]bind.Socket{free, spareInUse}, 1, 1, false},
		"another program has it":    {[]bind.Socket{inUse, second}, 0, 0, true},
		"another program has one":   {[]bind.Socket{free, inUse}, 0, 0, true},
		"what was bound is let go":  {[]bind.Socket{free}, 1, 0, false},
		"a listener without a port": {nil, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			list, missing, err := listenAll(c.sockets)
			for _, l := range list {
				defer l.Close()
			}
			if len(list) != c.open || len(missing) != c.missing || (err != nil) != c.fails {
				t.Errorf("%d open, missing %v, %v", len(list), missing, err)
			}
		})
	}
}
