package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/config"
)

// runHealthcheck asks the running gateway for its health: over admin.sock, or at [admin] address
// where this account may not use the socket. For HEALTHCHECK of containers, and for scripts.
func runHealthcheck(ctx context.Context, a *app, args []string) error {
	flags := a.flags("healthcheck")
	ready := flags.Bool("ready", false, "also check that it accepts mail and can deliver it")
	timeout := flags.Duration("timeout", 3*time.Second, "`time` to wait for a reply")
	if err := command.ParseAlone(flags, args); err != nil {
		return err
	}
	if *timeout <= 0 {
		return command.Usagef("healthcheck: --timeout %v must be greater than zero", *timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := checkHealth(ctx, config.Find(a.configPath), *ready); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "ok")
	return nil
}

// checkHealth asks over the socket, and over TCP where this account may not use the socket.
func checkHealth(ctx context.Context, file string, ready bool) error {
	stateDir, runDir, err := config.Dirs(file)
	if err != nil {
		return err
	}
	client := api.NewClient(sock.Find(ctx, stateDir, runDir))
	defer client.Close()
	if err = client.Healthy(ctx); err == nil && ready {
		err = client.Ready(ctx)
	}
	switch {
	case errors.Is(err, api.ErrNotRunning):
		return command.Hintf(err, "start it with mailhatch serve, or name its config with -c")
	case !errors.Is(err, fs.ErrPermission):
		return err
	}
	url, urlErr := config.HealthURL(file)
	if urlErr != nil || url == "" {
		return errors.Join(err, urlErr)
	}
	return askAddress(ctx, url, ready)
}

func askAddress(ctx context.Context, url string, ready bool) error {
	page := "/healthz"
	if ready {
		page = "/readyz"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+page, nil)
	if err != nil {
		return err
	}
	// No secret is sent, and the certificate has the name that others use.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	why, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || resp.StatusCode == http.StatusOK {
		return err
	}
	return fmt.Errorf("not ready: %s", strings.TrimSpace(string(why)))
}
