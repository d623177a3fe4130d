package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// target is where a server under test hands its mail on.
type target struct {
	Upstream   string // one of upstreamNames
	SMTP       int    // port on 127.0.0.1
	URL        string // of the HTTP APIs
	Concurrent int    // max_concurrent; 0: as by default. Postfix has its own default always
}

// at makes a sink the target of a case.
func (c Case) at(sink *Sink) target {
	return target{Upstream: c.Upstream, SMTP: sink.SMTPAddr().Port, URL: sink.URL(), Concurrent: c.Concurrent}
}

// launcher starts a server that relays to a target, with all its files in dir.
type launcher func(ctx context.Context, dir string, to target) (*process, error)

// mailhatchLauncher runs a binary of mailhatch with a config of its own, everything else as by default.
func mailhatchLauncher(binary string) launcher { return gatewayLauncher("", binary, "serve") }

// directLauncher runs mailhatch without its queue: the upstream's answer is the client's answer.
func directLauncher(binary string) launcher { return gatewayLauncher("direct", binary, "serve") }

// noopLauncher runs mailhatch's server with a queue that keeps nothing; binary is mailbench.
func noopLauncher(binary string) launcher { return gatewayLauncher("", binary, "noop") }

// gatewayLauncher runs what reads mailhatch's config. mode is the listener's; "" is the default.
func gatewayLauncher(mode, binary string, args ...string) launcher {
	return func(ctx context.Context, dir string, to target) (*process, error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		path, err := writeMailhatchConfig(dir, mode, port, to)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "MAILHATCH_CONFIG="+path)
		cmd.Dir = dir
		return startProcess(ctx, cmd, dir, loopbackAddr(port))
	}
}

func writeMailhatchConfig(dir, mode string, port int, to target) (path string, err error) {
	config, err := mailhatchConfig(dir, mode, port, to)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "config.toml")
	return path, os.WriteFile(path, []byte(config), 0o600)
}

// upstreamNames are the upstreams the runner can put behind mailhatch.
func upstreamNames() []string { return []string{"smtp", "resend", "sendgrid", "mailgun", "hold"} }

// mailhatchConfig writes the config of one case. "hold" keeps all mail in the queue: acceptance alone.
func mailhatchConfig(dir, mode string, port int, to target) (string, error) {
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
`, tomlString(stateDir(dir)), tomlString(filepath.Join(dir, "run")), listener, table, route), nil
}

// stateDir is mailhatch's state directory below the folder it is run in.
func stateDir(dir string) string { return filepath.Join(dir, "state") }

// tomlString quotes for TOML; Go's escapes of printable paths are TOML's too.
func tomlString(s string) string { return strconv.Quote(s) }
