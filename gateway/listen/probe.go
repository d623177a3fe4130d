package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"mailhatch/gateway/config"
)

// probeTime is how long a server has to answer a client of its own machine.
const probeTime = 2 * time.Second

// Silent returns the addresses of servers that do not answer, in the order of the endpoints. It asks those that
// have a probe, all at once, and nobody before Run serves them.
func (s *Set) Silent(ctx context.Context) []string {
	now := s.serving.Load()
	if now == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	silent := make([]string, len(now.served))
	var all sync.WaitGroup
	for i, at := range now.served {
		if at.probe == nil {
			continue
		}
		all.Go(func() {
			if err := at.probe(ctx, at.addr); err != nil {
				silent[i] = fmt.Sprintf("listener %s does not answer: %v", at.addr, err)
			}
		})
	}
	all.Wait()
	return slices.DeleteFunc(silent, func(s string) bool { return s == "" })
}

// greets returns a probe for a listener of SMTP: whatever its server sends, be it a refusal, is an answer.
func greets(lc *config.Listener) func(ctx context.Context, addr net.Addr) error {
	allow, proxies := prefixes(lc.Allow), prefixes(lc.ProxyFrom)
	implicit := lc.TLS == "implicit"
	return func(ctx context.Context, addr net.Addr) error {
		self := ownAddress(addr)
		in := func(p netip.Prefix) bool { return p.Contains(self) }
		if self.IsValid() && len(allow) > 0 && !slices.ContainsFunc(allow, in) {
			return nil // each probe would be a refusal in the log
		}
		conn, err := new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) {
			return nil // a socket for others, or one with a long name
		}
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // nothing was sent that matters
		end, _ := ctx.Deadline()
		_ = conn.SetDeadline(end)
		if self.IsValid() && slices.ContainsFunc(proxies, in) {
			_, _ = io.WriteString(conn, "PROXY UNKNOWN\r\n") // as the health check of a proxy
		}
		if implicit {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // no secret is sent: does it answer?
		}
		_, err = conn.Read(make([]byte, 512))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			_, _ = io.WriteString(conn, "QUIT\r\n")
			return nil
		}
		return errors.New("no greeting within " + probeTime.String())
	}
}

// ownAddress returns the address of a client on this machine that connects to addr; zero for a unix socket.
func ownAddress(addr net.Addr) netip.Addr {
	t, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	switch {
	case ip == netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	case ip.IsUnspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return ip
}
