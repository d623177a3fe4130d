package access

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// account returns the number of the account whose program made a connection from this machine, as the kernel's table of
// connections has it (proc_net(5)); "" for others, and where that cannot be known.
func account(r *http.Request) string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if !ok || err != nil || !remote.Addr().Unmap().IsLoopback() {
		return ""
	}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		name := inTable(remote, file == "/proc/net/tcp6") + " " + inTable(local.AddrPort(), file == "/proc/net/tcp6")
		if uid := ownerOf(file, name); uid != "" {
			return uid
		}
	}
	return ""
}

// ownerOf returns the uid of the connection that has both addresses, "" if the table has none.
func ownerOf(file, addresses string) (uid string) {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if !strings.Contains(lines.Text(), addresses) {
			continue
		}
		if fields := strings.Fields(lines.Text()); len(fields) > 7 && fields[1]+" "+fields[2] == addresses {
			return fields[7]
		}
	}
	return ""
}

// inTable writes an address as the kernel does: words of 32 bits in the byte order of the machine.
func inTable(a netip.AddrPort, long bool) string {
	ip := a.Addr().Unmap()
	b := ip.AsSlice()
	if long {
		full := ip.As16()
		b = full[:]
	}
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		fmt.Fprintf(&s, "%08X", binary.NativeEndian.Uint32(b))
	}
	return fmt.Sprintf("%s:%04X", s.String(), a.Port())
}
