// Package unit examines how systemd runs the gateway: what the service will meet that a shell does not, such as its
// account, its sandbox, its sockets and its credentials.
package unit

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// Name is the service that the package and make install set up.
const Name = "mailhatch.service"

// socketName is the socket unit beside it.
const socketName = "mailhatch.socket"

// Unit is the service as systemd has loaded it.
type Unit struct {
	properties properties
	sockets    []properties
	text       string // of its files
	account    *account
}

// properties are what systemctl show prints of a unit.
type properties map[string]string

// list returns the words of a property.
func (p properties) list(key string) []string { return strings.Fields(p[key]) }

// systemctl runs a command of systemctl(1) and returns what it prints.
type systemctl func(ctx context.Context, args ...string) (string, error)

// askTime is how long systemd may take to answer.
const askTime = 5 * time.Second

func ask(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).Output()
	return string(out), err
}

// Load returns the service that runs the gateway with the config in file; nil where there is none, or no systemd.
func Load(ctx context.Context, file string) *Unit { return load(ctx, file, ask) }

func load(ctx context.Context, file string, run systemctl) *Unit {
	const service = "LoadState,ActiveState,SubState,Result,ExecStart,User,Group,SupplementaryGroups,DynamicUser,SystemCallFilter," +
		"ProtectSystem,ProtectHome,ReadWritePaths,StateDirectory,CacheDirectory,LogsDirectory,RuntimeDirectory,TriggeredBy,MainPID,Environment,EnvironmentFiles"
	out, err := run(ctx, "show", Name, "-p", service)
	if err != nil {
		return nil
	}
	u := &Unit{properties: parse(out)[0]}
	if u.properties["LoadState"] != "loaded" || !sameFile(u.config(), file) {
		return nil
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(u.properties.list("TriggeredBy"), socketName)))) {
		if strings.HasSuffix(name, ".socket") {
			if out, err = run(ctx, "show", name, "-p", "Id,LoadState,ActiveState,UnitFileState,FileDescriptorName"); err == nil {
				u.sockets = append(u.sockets, parse(out)[0])
			}
		}
	}
	u.text, _ = run(ctx, "cat", Name) // LoadCredential= is not shown by all versions
	u.account = u.lookUp()
	return u
}

// parse reads what systemctl show prints: a line for each property, an empty one between units.
func parse(text string) []properties {
	list := []properties{{}}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(line, "=")
		last := list[len(list)-1]
		if before, again := last[key]; ok && again { // EnvironmentFiles has a line for each
			last[key] = before + "\n" + value
		} else if ok {
			last[key] = value
		} else if line == "" && len(list[len(list)-1]) > 0 {
			list = append(list, properties{})
		}
	}
	return list
}

// config returns the config file that the service is started with.
func (u *Unit) config() string {
	_, command, _ := strings.Cut(u.properties["ExecStart"], "argv[]=")
	command, _, _ = strings.Cut(command, " ;")
	words := strings.Fields(command)
	for i, w := range words {
		name, value, joined := strings.Cut(strings.TrimLeft(w, "-"), "=")
		switch {
		case !strings.HasPrefix(w, "-") || name != "c" && name != "config":
		case joined:
			return value
		case i+1 < len(words):
			return words[i+1]
		}
	}
	return "/etc/mailhatch/config.toml"
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// Down returns why the service does not run although it should; "" where it runs or nobody has asked for it.
func (u *Unit) Down() string {
	if u == nil {
		return ""
	}
	switch p := u.properties; {
	case p["ActiveState"] == "failed":
		return Name + " has failed (" + p["Result"] + ")"
	case p["SubState"] == "auto-restart":
		return Name + " fails and is started again and again (" + p["Result"] + ")"
	}
	return ""
}

// Findings are what the service will meet with that config and will not like.
func (u *Unit) Findings(cfg *config.Config) []upstream.Finding {
	if u == nil {
		return withoutUnit(cfg)
	}
	list := append(u.directories(cfg), u.files(cfg)...)
	list = append(list, u.groups(cfg)...)
	list = append(list, u.passed(cfg)...)
	for _, change := range u.ChangedCredentials() {
		list = append(list, upstream.Finding{Name: "service", Level: upstream.Warn, Text: change, Hint: "systemctl restart mailhatch"})
	}
	return list
}
