package unit

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"mailhatch/gateway/config"
	"mailhatch/gateway/systemd"
	"mailhatch/upstream"
)

func finding(level upstream.Level, hint, format string, args ...any) upstream.Finding {
	return upstream.Finding{Name: "service", Level: level, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// wanted returns the names of sockets that listeners wait for.
func wanted(cfg *config.Config) []string {
	var list []string
	for i := range cfg.Listeners {
		if network, name := cfg.Listeners[i].Network(); network == "fd" {
			list = append(list, name)
		}
	}
	return list
}

// withoutUnit finds listeners that nobody passes a socket to.
func withoutUnit(cfg *config.Config) []upstream.Finding {
	var list []upstream.Finding
	for _, name := range wanted(cfg) {
		if !slices.Contains(systemd.Passed(), name) {
			list = append(list, finding(upstream.Warn, "start the gateway by a service with a socket unit, such as mailhatch.socket, or write an address",
				"listener fd:%s: systemd has no service that runs with this config, which would get the socket", name))
		}
	}
	return list
}

// passed compares the sockets that listeners wait for with those that systemd passes.
func (u *Unit) passed(cfg *config.Config) []upstream.Finding {
	var list []upstream.Finding
	names := wanted(cfg)
	for _, name := range names {
		i := slices.IndexFunc(u.sockets, func(s properties) bool { return s["LoadState"] == "loaded" && s["FileDescriptorName"] == name })
		if i < 0 {
			list = append(list, finding(upstream.Fail, "FileDescriptorName="+name+" in the socket unit, or another name in the config",
				"listener fd:%s: no socket unit of %s has that name", name, Name))
			continue
		}
		switch s := u.sockets[i]; {
		case s["ActiveState"] != "active":
			list = append(list, finding(upstream.Fail, "systemctl stop mailhatch && systemctl enable --now "+s["Id"]+" && systemctl start mailhatch",
				"listener fd:%s: %s, which passes the socket, is %s", name, s["Id"], s["ActiveState"]))
		case s["UnitFileState"] == "disabled":
			list = append(list, finding(upstream.Warn, "systemctl enable "+s["Id"], "listener fd:%s: %s is not enabled: the next boot does not start it", name, s["Id"]))
		}
	}
	for _, s := range u.sockets {
		if name := s["FileDescriptorName"]; s["ActiveState"] == "active" && !slices.Contains(names, name) {
			list = append(list, finding(upstream.Warn, `add a [[listener]] with address = "fd:`+name+`", or systemctl disable --now `+s["Id"],
				"%s passes a socket that no listener wants: its clients get 421", s["Id"]))
		}
	}
	return list
}

// directories finds those that the sandbox keeps the service from writing to.
func (u *Unit) directories(cfg *config.Config) []upstream.Finding {
	var list []upstream.Finding
	dirs := map[string]string{"state_dir": cfg.StateDir, "run_dir": cfg.RunDir}
	for _, key := range []string{"state_dir", "run_dir"} {
		dir := resolved(dirs[key])
		switch {
		case u.hidden(dir):
			list = append(list, finding(upstream.Fail, "name a directory elsewhere, or systemctl edit mailhatch: [Service] ProtectHome=no",
				"%s %s cannot be reached by %s (ProtectHome=%s)", key, dirs[key], Name, u.properties["ProtectHome"]))
		case u.readOnly(dir):
			list = append(list, finding(upstream.Fail, "systemctl edit mailhatch: [Service] ReadWritePaths="+dirs[key],
				"%s %s is read-only for %s (ProtectSystem=%s)", key, dirs[key], Name, u.properties["ProtectSystem"]))
		case u.account.refused("-w", dir):
			list = append(list, finding(upstream.Fail, fmt.Sprintf("chown -R %s: %s", u.account.name, dirs[key]),
				"%s %s cannot be written by %s, as which %s runs", key, dirs[key], u.account.name, Name))
		}
		if dirs["run_dir"] == dirs["state_dir"] {
			break
		}
	}
	return list
}

// resolved follows links as far as the path is there.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if up := filepath.Dir(path); up != path {
		return filepath.Join(resolved(up), filepath.Base(path))
	}
	return path
}

// within reports whether path is one of dirs or below it.
func within(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		dir = strings.TrimSuffix(dir, "/")
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
}

// hidden and readOnly follow ProtectHome= and ProtectSystem= of systemd.exec(5).
func (u *Unit) hidden(path string) bool {
	home := u.properties["ProtectHome"]
	return (home == "yes" || home == "tmpfs") && within(path, "/home", "/root", "/run/user")
}

func (u *Unit) readOnly(path string) bool {
	if within(path, u.writable()...) {
		return false
	}
	if u.properties["ProtectHome"] == "read-only" && within(path, "/home", "/root", "/run/user") {
		return true
	}
	switch u.properties["ProtectSystem"] {
	case "strict":
		return !within(path, "/dev", "/proc", "/sys", "/tmp", "/var/tmp")
	case "full":
		return within(path, "/usr", "/boot", "/efi", "/etc")
	case "yes":
		return within(path, "/usr", "/boot", "/efi")
	}
	return false
}

// writable returns what the unit opens in its sandbox.
func (u *Unit) writable() []string {
	var dirs []string
	for _, path := range u.properties.list("ReadWritePaths") {
		dirs = append(dirs, resolved(strings.TrimLeft(path, "-+")))
	}
	for key, above := range map[string]string{"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log", "RuntimeDirectory": "/run"} {
		dirs = append(dirs, u.under(key, above)...)
	}
	return dirs
}

// under returns the directories of a property such as StateDirectory=.
func (u *Unit) under(key, above string) []string {
	var dirs []string
	for _, name := range u.properties.list(key) {
		name, _, _ = strings.Cut(name, ":")
		dirs = append(dirs, filepath.Join(above, name))
	}
	return dirs
}

// files finds those that the service's account may not read.
func (u *Unit) files(cfg *config.Config) []upstream.Finding {
	paths := append([]string{cfg.File, cfg.Admin.CertFile, cfg.Admin.KeyFile}, cfg.SecretFiles...)
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		paths = append(paths, l.CertFile, l.KeyFile, l.ClientCAFile)
	}
	var list []upstream.Finding
	for _, path := range paths {
		if path == "" {
			continue
		}
		switch real := resolved(path); {
		case u.hidden(real):
			list = append(list, finding(upstream.Fail, "move it to /etc/mailhatch", "%s cannot be reached by %s (ProtectHome=%s)", path, Name, u.properties["ProtectHome"]))
		case u.account.refused("-r", real):
			list = append(list, finding(upstream.Fail, fmt.Sprintf("chgrp %s %s && chmod g+r %[2]s", u.account.group, path),
				"%s cannot be read by %s, as which %s runs", path, u.account.name, Name))
		}
	}
	return list
}

// groups finds groups of sockets that the service may not give them to.
func (u *Unit) groups(cfg *config.Config) []upstream.Finding {
	var list []upstream.Finding
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		gid, err := config.GroupID(l.SocketGroup)
		if err != nil || gid < 0 || u.account == nil || u.account.uid == 0 {
			continue
		}
		if !u.account.in(gid) || !u.allows("fchownat") {
			list = append(list, finding(upstream.Fail, "systemctl edit mailhatch: [Service] SupplementaryGroups="+l.SocketGroup+" and, on a line of its own, SystemCallFilter=@chown",
				"listener %s: %s may not give its socket to the group %s", l.Address, Name, l.SocketGroup))
		}
	}
	return list
}

// allows reports whether SystemCallFilter=, which systemd shows without groups of calls, lets a call through.
func (u *Unit) allows(call string) bool {
	filter := u.properties.list("SystemCallFilter")
	if len(filter) == 0 {
		return true
	}
	first, denied := strings.CutPrefix(filter[0], "~")
	return (first == call || slices.Contains(filter, call)) != denied
}

// credentialDir is where systemd keeps what the service was given at its start.
const credentialDir = "/run/credentials/" + Name

// ChangedCredentials names credentials whose source is another by now than what the service was started with. It
// looks at the contents where it may, else at the times.
func (u *Unit) ChangedCredentials() []string {
	if u == nil || runtime.GOOS == "windows" {
		return nil
	}
	return changedCredentials(u.text, credentialDir)
}

func changedCredentials(text, dir string) []string {
	var list []string
	credentials := loaded(text)
	for _, name := range slices.Sorted(maps.Keys(credentials)) {
		if source := credentials[name]; differ(filepath.Join(dir, name), source) {
			list = append(list, fmt.Sprintf("credential %s: %s has changed since the service was started, which needs a restart", name, source))
		}
	}
	return list
}

// loaded returns the credentials that a unit loads from files, by name.
func loaded(text string) map[string]string {
	list := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "LoadCredential=")
		if name, source, _ := strings.Cut(value, ":"); ok && filepath.IsAbs(source) {
			list[name] = source
		}
	}
	return list
}

// differ reports whether two files that are there differ.
func differ(held, source string) bool {
	a, err := os.ReadFile(held)
	b, err2 := os.ReadFile(source)
	if err == nil && err2 == nil {
		return !bytes.Equal(a, b)
	}
	old, err := os.Stat(held)
	now, err2 := os.Stat(source)
	return err == nil && err2 == nil && now.ModTime().After(old.ModTime())
}
