// Package machine examines what the gateway needs of the machine it runs on.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"mailhatch/cmd/mailhatch/machine/unit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/config"
	"mailhatch/gateway/maildrop"
	"mailhatch/upstream"
)

// Findings examines this machine for a gateway with that config, and the service that runs it; nil: none does.
func Findings(ctx context.Context, cfg *config.Config, service *unit.Unit) []upstream.Finding {
	gateway, runs := running(ctx, cfg, service)
	list := []upstream.Finding{gateway}
	list = append(list, service.Findings(cfg)...)
	list = append(list, addresses(cfg)...)
	if !runs {
		list = append(list, taken(ctx, cfg)...)
	}
	list = append(list, storage(cfg)...)
	list = append(list, drop(cfg)...)
	list = append(list, directory("state_dir", cfg.StateDir, 0o066), directory("run_dir", cfg.RunDir, 0o022))
	if cfg.File != "" && cfg.File != config.Environment {
		list = append(list, secretFile("config", cfg.File, 0o022))
	}
	for _, path := range cfg.SecretFiles {
		list = append(list, secretFile("secret", path, 0o027))
	}
	return list
}

func finding(name string, level upstream.Level, hint, format string, args ...any) upstream.Finding {
	return upstream.Finding{Name: name, Level: level, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// running reports whether a gateway answers; runs is false where none does that this account could ask.
func running(ctx context.Context, cfg *config.Config, service *unit.Unit) (f upstream.Finding, runs bool) {
	client := api.NewClient(sock.Find(ctx, cfg.StateDir, cfg.RunDir))
	defer client.Close()
	err := client.Ping(ctx)
	switch {
	case err == nil:
		return finding("gateway", upstream.Fine, "", "running"), true
	case service.Down() != "":
		return finding("gateway", upstream.Fail, "journalctl -u mailhatch -n 20 says why", "%s", service.Down()), false
	case errors.Is(err, fs.ErrPermission):
		return finding("gateway", upstream.Fine, "", "this account is not permitted to ask whether it runs"), true
	}
	return finding("gateway", upstream.Fine, "", "not running"), false
}

// addresses finds listeners that will wait for their address.
func addresses(cfg *config.Config) []upstream.Finding {
	var list []upstream.Finding
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		network, address := l.Network()
		at, err := netip.ParseAddrPort(address)
		if network == "unix" || network == "fd" || err != nil || isOwn(at.Addr()) {
			continue
		}
		list = append(list, finding("listener", upstream.Warn, "check it for typos, unless it comes later: until then the other listeners serve",
			"%s: this machine does not have the address", l.Address))
	}
	return list
}

// taken finds listeners that a gateway could not open now. It connects to their addresses rather than bind them: a gateway
// that starts meanwhile needs them.
func taken(ctx context.Context, cfg *config.Config) []upstream.Finding {
	var list []upstream.Finding
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
			if dir := filepath.Dir(path); dir != cfg.RunDir && dir != cfg.StateDir && existing(dir) != dir {
				list = append(list, finding("listener", upstream.Warn, "make it before the gateway starts, as RuntimeDirectory= of a service does",
					"%s: the directory %s does not exist", l.Address, dir))
			}
			continue
		}
		for _, s := range l.Sockets() {
			dialer := net.Dialer{Timeout: time.Second}
			c, err := dialer.DialContext(ctx, s.Network, s.Address)
			if err != nil {
				continue
			}
			_ = c.Close()
			list = append(list, finding("listener", upstream.Fail, "stop the program that listens there, or choose another address", "%s is taken", s.Address))
		}
	}
	return list
}

// isOwn reports whether this machine has an address, as a socket finds out.
func isOwn(addr netip.Addr) bool {
	c, err := net.ListenPacket("udp", netip.AddrPortFrom(addr, 0).String())
	if err == nil {
		_ = c.Close()
	}
	return !errors.Is(err, syscall.EADDRNOTAVAIL)
}

// existing returns dir or, before the first start, the directory that it will be created in.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// volatile returns the file systems that are lost with the machine or container, remote those of other machines.
func volatile() []string { return []string{"tmpfs", "ramfs", "overlay"} }
func remote() []string   { return []string{"nfs", "smb", "smbfs", "9p"} }

// storage examines the file system of state_dir.
func storage(cfg *config.Config) []upstream.Finding {
	kind, free, err := fileSystem(existing(cfg.StateDir))
	if err != nil {
		return []upstream.Finding{finding("storage", upstream.Fail, "", "%s: %v", cfg.StateDir, err)}
	}
	least := int64(cfg.Queue.MinFree)
	list := []upstream.Finding{finding("space", upstream.Fine, "", "%s free, min_free is %s", terminal.Size(free), terminal.Size(least))}
	switch {
	case free < least:
		list[0].Level, list[0].Hint = upstream.Fail, "new mail is refused until there is more space in state_dir, or min_free is lowered"
	case free/4 < least:
		list[0].Level, list[0].Hint = upstream.Warn, "new mail will be refused soon: free space in state_dir"
	}
	switch {
	case slices.Contains(volatile(), kind):
		list = append(list, finding("storage", upstream.Warn, "queued mail is lost with the machine or container: put state_dir on a disk or a volume",
			"%s is on %s", cfg.StateDir, kind))
	case slices.Contains(remote(), kind):
		list = append(list, finding("storage", upstream.Warn, "locks and fsync are not reliable on network file systems: put state_dir on a local disk",
			"%s is on %s", cfg.StateDir, kind))
	default:
		list = append(list, finding("storage", upstream.Fine, "", "%s", cfg.StateDir))
	}
	return list
}

// drop examines the maildrop: without the setgid bit the gateway cannot keep files of others from being read by their mode.
func drop(cfg *config.Config) []upstream.Finding {
	path := filepath.Join(cfg.StateDir, maildrop.DirName)
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode()&fs.ModeSetgid == 0 {
		return []upstream.Finding{finding("maildrop", upstream.Warn, "chmod 3733 "+path, "%s has no setgid bit: only the names of its files protect them", path)}
	}
	return nil
}

// directory checks the mode of a directory; none of the bits of not should be set.
func directory(name, dir string, not fs.FileMode) upstream.Finding {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding(name, upstream.Fine, "", "%s is created at the first start", dir)
	case err != nil:
		return finding(name, upstream.Fail, "run this as the user that mailhatch runs as, or as root", "%v", err)
	case !info.IsDir():
		return finding(name, upstream.Fail, "name a directory", "%s is not a directory", dir)
	}
	return mode(name, dir, info, not)
}

// secretFile checks the mode of a file that only the gateway should read or write.
func secretFile(name, path string, not fs.FileMode) upstream.Finding {
	info, err := os.Stat(path)
	if err != nil {
		return finding(name, upstream.Warn, "", "%v", err)
	}
	return mode(name, path, info, not)
}

func mode(name, path string, info fs.FileInfo, not fs.FileMode) upstream.Finding {
	perm := info.Mode().Perm()
	if bad := perm & not; bad != 0 && runtime.GOOS != "windows" { // where modes mean nothing
		return finding(name, upstream.Warn, fmt.Sprintf("chmod %o %s", perm&^not, path), "%s has mode %04o: others may %s", path, perm, verbs(bad))
	}
	return finding(name, upstream.Fine, "", "%s, mode %04o", path, perm)
}

func verbs(bits fs.FileMode) string {
	switch {
	case bits&0o022 != 0 && bits&0o044 != 0:
		return "read and change it"
	case bits&0o022 != 0:
		return "change it"
	}
	return "read it"
}
