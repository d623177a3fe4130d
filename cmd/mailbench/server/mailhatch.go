package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/test/freeport"
)

// Target is where a server under test hands its mail on.
type Target struct {
	Upstream   string // one of upstreamNames
	SMTP       int    // port on 127.0.0.1
	URL        string // of the HTTP APIs
	Concurrent int    // max_concurrent; 0: as by default. Postfix has its own default always
}

// Launcher starts a server that relays to a target, with all its files in dir.
type Launcher func(ctx context.Context, dir string, to Target) (*Process, error)

// Mailhatch runs a binary of mailhatch with a config of its own, everything else as by default.
func Mailhatch(binary string) Launcher { return gateway("", binary, "serve") }

// Direct runs mailhatch without its queue: the upstream's answer is the client's answer.
func Direct(binary string) Launcher { return gateway("direct", binary, "serve") }

// Noop runs mailhatch's server with a queue that keeps nothing; binary is mailbench.
func Noop(binary string) Launcher { return gateway("", binary, "noop") }

// gateway runs what reads mailhatch's config. mode is the listener's; "" is the default.
func gateway(mode, binary string, args ...string) Launcher {
	return func(ctx context.Context, dir string, to Target) (*Process, error) {
		port, err := freeport.Reserve(ctx)
		if err != nil {
			return nil, err
		}
		path, err := WriteConfig(dir, mode, port, to)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "MAILHATCH_CONFIG="+path)
		cmd.Dir = dir
		return Start(ctx, cmd, dir, host.Loopback(port))
	}
}

func WriteConfig(dir, mode string, port int, to Target) (path string, err error) {
	config, err := config(dir, mode, port, to)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "config.toml")
	return path, os.WriteFile(path, []byte(config), 0o600)
}

// Upstreams are the upstreams the runner can put behind mailhatch.
func Upstreams() []string { return []string{"smtp", "resend", "sendgrid", "mailgun", "hold"} }

// config writes the config of one case. "hold" keeps all mail in the queue: acceptance alone.
func config(dir, mode string, port int, to Target) (string, error) {
	var table string
	route := `via = ["sink"]`
	http := fmt.Sprintf("api_key = \"bench\"\nbase_url = %q\n", to.URL)
	switch to.Upstream {
	case "smtp", "hold":
		table = fmt.Sprintf("type = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\n", to.SMTP)
		if to.Upstream == "hold" {
			route = "hold = true"
		}
	case "resend", "sendgrid":
		table = fmt.Sprintf("type = %q\n%s", to.Upstream, http)
	case "mailgun":
		table = "type = \"mailgun\"\ndomain = \"mailbench.example\"\n" + http
	default:
		return "", fmt.Errorf("no upstream %q", to.Upstream)
	}
	if to.Concurrent > 0 {
		table += fmt.Sprintf("max_concurrent = %d\n", to.Concurrent)
	}
	listener := fmt.Sprintf("address = \"127.0.0.1:%d\"\n", port)
	if mode != "" {
		listener += fmt.Sprintf("mode = %q\n", mode)
	}
	return fmt.Sprintf(`hostname = "bench.example"
state_dir = %s
run_dir = %s

[[listener]]
%s
[upstream.sink]
%s
[[route]]
%s

[admin]
address = "off"
`, Quote(StateDir(dir)), Quote(filepath.Join(dir, "run")), listener, table, route), nil
}

// StateDir is mailhatch's state directory below the folder it is run in.
func StateDir(dir string) string { return filepath.Join(dir, "state") }

// Quote quotes for TOML; Go's escapes of printable paths are TOML's too.
func Quote(s string) string { return strconv.Quote(s) }
