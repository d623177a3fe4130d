package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mailhatch/test/freeport"
)

// gateway is a running mailhatch whose upstream keeps all mail in memory.
type gateway struct {
	dir       string // of all files of the test
	bin       string // holds the link that is sendmail
	config    string
	port, tls string
	ca        string
	cmd       *exec.Cmd
	log       bytes.Buffer
	ended     chan error
	admin     *http.Client
	awaited   int // mails that some case has asked for
}

// kept is a mail in the upstream of type memory, as the admin API tells it.
type kept struct {
	From   string   `json:"from"`
	To     []string `json:"to"`
	Source string   `json:"source"`
	Raw    []byte   `json:"raw"` // instead of Source, where that is no UTF-8
}

const configText = `hostname = "localhost"
state_dir = %[1]q
[[listener]]
address = "127.0.0.1:%[2]s"
[[listener]]
address = "127.0.0.1:%[3]s"
tls = "starttls"
self_signed = true
auth = "required"
[[listener.user]]
name = "app"
password = %[4]q
[upstream.memory]
type = "memory"
keep = 1000
[[route]]
via = ["memory"]
[aliases]
root = "` + rootAddress + `"
[identity]
domain = "` + mailDomain + `"
[admin]
address = "off"
`

const (
	startLimit   = 30 * time.Second
	arrivalLimit = 30 * time.Second
	look         = 20 * time.Millisecond // between two looks at what has come
)

// startGateway starts binary with two listeners and a sendmail link, in a new directory.
func startGateway(ctx context.Context, binary string) (*gateway, error) {
	dir, err := os.MkdirTemp("", "clients")
	if err != nil {
		return nil, err
	}
	g := &gateway{dir: dir, bin: filepath.Join(dir, "bin"), config: filepath.Join(dir, "c.toml"), ended: make(chan error, 1)}
	if err := g.start(ctx, binary); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

func (g *gateway) start(ctx context.Context, binary string) error {
	for _, at := range []*string{&g.port, &g.tls} {
		port, err := freeport.Reserve(ctx)
		if err != nil {
			return err
		}
		*at = strconv.Itoa(port)
	}
	state := filepath.Join(g.dir, "state")
	if err := os.Mkdir(g.bin, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(binary, filepath.Join(g.bin, "sendmail")); err != nil {
		return err
	}
	if err := os.Symlink(binary, filepath.Join(g.bin, "mailhatch")); err != nil {
		return err
	}
	text := fmt.Sprintf(configText, state, g.port, g.tls, mailPassword)
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		return err
	}
	g.admin = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(state, "admin.sock"))
	}}}
	g.cmd = exec.Command(binary, "-c", g.config, "serve")
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	if err := g.cmd.Start(); err != nil {
		return err
	}
	go func() { g.ended <- g.cmd.Wait() }() // stop waits for it
	if err := g.awaitStart(ctx); err != nil {
		return err
	}
	g.ca = filepath.Join(g.dir, "mail.pem")
	return firstBlock(filepath.Join(state, "self-signed.pem"), g.ca)
}

// awaitStart waits until the gateway answers.
func (g *gateway) awaitStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if _, err := g.received(ctx); err == nil {
			return nil
		}
		select {
		case err := <-g.ended:
			g.ended <- err
			return fmt.Errorf("the gateway ended: %w\n%s", err, g.log.String())
		case <-ctx.Done():
			return fmt.Errorf("the gateway does not start: %w", ctx.Err())
		case <-time.After(look):
		}
	}
}

// stop ends the gateway, which must go in peace, and removes its files.
func (g *gateway) stop() error {
	var err error
	if g.cmd != nil && g.cmd.Process != nil {
		_ = g.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err = <-g.ended; err != nil {
			err = fmt.Errorf("the gateway: %w\n%s", err, g.log.String())
		}
	}
	return errors.Join(err, os.RemoveAll(g.dir))
}

// environment is what the script knows of the gateway.
func (g *gateway) environment() []string {
	return []string{
		"HOST=localhost", "PORT=" + g.port, "TLS_PORT=" + g.tls, "CA=" + g.ca, "MAIL_USER=app", "MAIL_PASSWORD=" + mailPassword,
		"SENDMAIL=" + filepath.Join(g.bin, "sendmail"), "MAILHATCH_CONFIG=" + g.config,
		"PATH=" + strings.Join([]string{g.bin, "/usr/bin", "/bin", os.Getenv("PATH"), unpacked}, ":"),
	}
}

// received returns what the upstream was given, oldest first.
func (g *gateway) received(ctx context.Context) ([]kept, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://mailhatch/api/v1/memory/memory", nil)
	if err != nil {
		return nil, err
	}
	resp, err := g.admin.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list struct{ Messages []kept }
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the admin API says %s", resp.Status)
	}
	err = json.NewDecoder(resp.Body).Decode(&list)
	return list.Messages, err
}

// await returns the mails beyond the first n when they have that many recipients together.
func (g *gateway) await(ctx context.Context, n, recipients int) ([]kept, error) {
	ctx, cancel := context.WithTimeout(ctx, arrivalLimit)
	defer cancel()
	for {
		all, err := g.received(ctx)
		if err != nil {
			return nil, err
		}
		count := 0
		for _, k := range all[n:] {
			count += len(k.To)
		}
		if count >= recipients {
			g.awaited += len(all) - n
			return all[n:], nil
		}
		select {
		case <-ctx.Done():
			return all[n:], fmt.Errorf("%d recipients have mail, want %d: %w", count, recipients, ctx.Err())
		case <-time.After(look):
		}
	}
}

// noMore reports whether mail has come that no case has asked for, or is still to come.
func (g *gateway) noMore(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, g.cmd.Path, "-c", g.config, "queue", "list").CombinedOutput()
	if err != nil {
		return fmt.Errorf("queue list: %w\n%s", err, out)
	}
	if !strings.Contains(string(out), "the queue is empty") {
		return fmt.Errorf("the queue is not empty:\n%s", out)
	}
	all, err := g.received(ctx)
	if err == nil && len(all) != g.awaited {
		err = fmt.Errorf("the upstream was given %d mails, %d were awaited", len(all), g.awaited)
	}
	return err
}

// firstBlock copies the certificate without the key behind it, for programs that check it.
func firstBlock(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fmt.Errorf("%s holds no certificate", from)
	}
	return os.WriteFile(to, pem.EncodeToMemory(block), 0o644)
}
