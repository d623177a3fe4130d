package unit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Environment returns what the service has or will have in its environment, as NAME=value: of the running process
// where this account may see it, else what the unit says.
func (u *Unit) Environment() []string {
	if u == nil {
		return nil
	}
	if pid := u.properties["MainPID"]; pid != "" && pid != "0" {
		if b, err := os.ReadFile(filepath.Join("/proc", pid, "environ")); err == nil {
			return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		}
	}
	var list []string
	for _, d := range []struct{ property, variable, above string }{
		{"StateDirectory", "STATE_DIRECTORY", "/var/lib"}, {"RuntimeDirectory", "RUNTIME_DIRECTORY", "/run"},
	} {
		if dirs := u.under(d.property, d.above); dirs != nil {
			list = append(list, d.variable+"="+strings.Join(dirs, ":"))
		}
	}
	list = append(list, words(u.properties["Environment"])...)
	for line := range strings.SplitSeq(u.properties["EnvironmentFiles"], "\n") {
		path, _, _ := strings.Cut(line, " (")
		b, _ := os.ReadFile(path) // one that cannot be read says nothing
		for line := range strings.SplitSeq(string(b), "\n") {
			line = strings.TrimSpace(line)
			name, value, ok := strings.Cut(line, "=")
			if ok && !strings.ContainsAny(line[:1], "#;") {
				list = append(list, strings.TrimSpace(name)+"="+unquoted(strings.TrimSpace(value)))
			}
		}
	}
	return list
}

// words splits assignments as systemctl shows them: those with spaces are in double quotes.
func words(text string) []string {
	var list []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end := strings.IndexByte(text, ' ')
		if text[0] == '"' {
			if end = strings.Index(text[1:], `"`); end >= 0 {
				end += 2
			}
		}
		if end < 0 {
			end = len(text)
		}
		list = append(list, unquoted(text[:end]))
		text = text[end:]
	}
	return list
}

// unquoted removes a pair of quotes around a text.
func unquoted(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

// Lend sets in this process the variables of the service that it lacks, and its credentials, those that
// it will have where it does not run. It is called before a config is read as the service reads it; done takes the
// credentials back.
func (u *Unit) Lend() (done func(), err error) {
	done = func() {}
	for _, v := range u.Environment() {
		name, value, _ := strings.Cut(v, "=")
		if _, own := os.LookupEnv(name); !own && name != "" && !handshake(name) {
			if err := os.Setenv(name, value); err != nil {
				return done, err
			}
		}
	}
	if u == nil || os.Getenv("CREDENTIALS_DIRECTORY") != "" {
		return done, nil
	}
	credentials := loaded(u.text)
	if len(credentials) == 0 {
		return done, nil
	}
	dir, err := os.MkdirTemp("", "mailhatch-check-")
	if err != nil {
		return done, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	for name, source := range credentials {
		if name == filepath.Base(name) {
			if err := os.Symlink(source, filepath.Join(dir, name)); err != nil {
				return done, fmt.Errorf("credential %s: %w", name, err)
			}
		}
	}
	return done, os.Setenv("CREDENTIALS_DIRECTORY", dir)
}

// handshake reports whether a variable is between systemd and the process that it has started.
func handshake(name string) bool {
	for _, prefix := range []string{"LISTEN_", "NOTIFY_", "WATCHDOG_", "INVOCATION_", "JOURNAL_", "SYSTEMD_", "MAIN"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
