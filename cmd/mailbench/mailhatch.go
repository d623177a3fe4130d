package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// launcher starts a server that relays to the sink, with all its files in dir.
type launcher func(ctx context.Context, dir string, sink *Sink, upstream string) (*process, error)

// mailhatchLauncher runs a binary of mailhatch with a config of its own, everything else as by default.
func mailhatchLauncher(binary string) launcher {
	return func(ctx context.Context, dir string, sink *Sink, upstream string) (*process, error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		config, err := mailhatchConfig(dir, port, sink, upstream)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, "config.toml")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.Command(binary, "serve")
		cmd.Env = append(os.Environ(), "MAILHATCH_CONFIG="+path)
		cmd.Dir = dir
		return startProcess(ctx, cmd, dir, loopbackAddr(port))
	}
}

// upstreamNames are the upstreams the runner can put behind mailhatch.
func upstreamNames() []string { return []string{"smtp", "resend", "sendgrid", "mailgun", "hold"} }

// mailhatchConfig writes the config of one case. "hold" keeps all mail in the queue: acceptance alone.
func mailhatchConfig(dir string, port int, sink *Sink, upstream string) (string, error) {
	var table string
	route := `via = ["sink"]`
	http := fmt.Sprintf("api_key = \"bench\"\nbase_url = %q\n", sink.URL())
	switch upstream {
	case "smtp", "hold":
		table = fmt.Sprintf("type = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\n", sink.SMTPAddr().Port)
		if upstream == "hold" {
			route = "hold = true"
		}
	case "resend", "sendgrid":
		table = fmt.Sprintf("type = %q\n%s", upstream, http)
	case "mailgun":
		table = "type = \"mailgun\"\ndomain = \"mailbench.example\"\n" + http
	default:
		return "", fmt.Errorf("no upstream %q", upstream)
	}
	return fmt.Sprintf(`hostname = "bench.example"
state_dir = %s
run_dir = %s

[[listener]]
address = "127.0.0.1:%d"

[upstream.sink]
%s
[[route]]
%s

[admin]
address = "off"
`, tomlString(filepath.Join(dir, "state")), tomlString(filepath.Join(dir, "run")), port, table, route), nil
}

// tomlString quotes for TOML; Go's escapes of printable paths are TOML's too.
func tomlString(s string) string { return strconv.Quote(s) }
