package server

import (
	"context"
	"os/exec"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/test/freeport"
)

// SMTPRelay runs decke/smtprelay between load and sink; it hands mail on by SMTP only.
func SMTPRelay(binary string) Launcher {
	return func(ctx context.Context, dir string, to Target) (*Process, error) {
		port, err := freeport.Reserve(ctx)
		if err != nil {
			return nil, err
		}
		addr := host.Loopback(port)
		cmd := exec.Command(binary, "-listen", addr, "-remotes", "smtp://"+host.Loopback(to.SMTP), "-hostname", "bench.example")
		cmd.Dir = dir
		return Start(ctx, cmd, dir, addr)
	}
}
