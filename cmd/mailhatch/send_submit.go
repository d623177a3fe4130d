package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"mailhatch/gateway"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
)

// submit hands the message to the server that was named; else to the gateway of the config, by its
// socket or its first listener. Where no gateway answers, the message waits in its maildrop.
func (a *app) submit(ctx context.Context, server string, env *envelope.Envelope, m *spool) error {
	if server != "" {
		return a.submitTo(ctx, server, env, m)
	}
	places, err := a.sendPlaces()
	if err != nil {
		return err
	}
	var servers []string
	for _, place := range places {
		servers = append(servers, "unix:"+place.Socket)
	}
	if cfg, err := a.config(); err == nil && !strings.HasPrefix(cfg.Listeners[0].Address, "fd:") {
		servers = append(servers, cfg.Listeners[0].Address)
	}
	for _, server := range servers {
		// After other trouble the gateway may have the message: it is not offered twice.
		if err = a.submitTo(ctx, server, env, m); !errors.Is(err, errNoGateway) {
			break
		}
	}
	if !canWait(err) {
		return err
	}
	for _, place := range places {
		if maildrop.Write(place.Maildrop, env, m.size, m.reader()) == nil {
			fmt.Fprintf(a.stderr, "mailhatch: warning: %v\nhint: the message is kept in %s and goes out when the gateway takes mail\n", err, place.Maildrop)
			return nil
		}
	}
	return hintf(fmt.Errorf("%w; the message was NOT kept", err), "start one with: mailhatch serve")
}

// sendPlaces gives the gateway of the config or, where this account may not read it, those that
// sendmail looks for.
func (a *app) sendPlaces() ([]gateway.SubmitPlace, error) {
	stateDir, runDir, err := gateway.Dirs(gateway.FindConfig(a.configPath))
	if errors.Is(err, fs.ErrPermission) {
		return gateway.SubmitPlaces(a.configPath)
	}
	if err != nil {
		return nil, err
	}
	return []gateway.SubmitPlace{gateway.PlaceIn(stateDir, runDir)}, nil
}

var errNoGateway = errors.New("no gateway answers")

// canWait says that the gateway has not taken the message, and would perhaps do later.
func canWait(err error) bool {
	var no *replyError
	if errors.As(err, &no) {
		return no.code < 500
	}
	var partly *partlyError
	return err != nil && !errors.As(err, &partly)
}

// submitTo hands the message to one address and prints the answer.
func (a *app) submitTo(ctx context.Context, server string, env *envelope.Envelope, m *spool) error {
	network, address, err := serverAddress(server)
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: dialLimit}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return hintf(fmt.Errorf("%w at %s", errNoGateway, server), "start one with: mailhatch serve")
	}
	message, done := a.progress(m)
	refused, reply, err := submitOver(conn, env, m, message)
	done()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, plain(reply))
	for _, r := range refused {
		fmt.Fprintf(a.stderr, "mailhatch: <%s>: %v\n", plain(r.address), plain(r.reply.Error()))
	}
	if len(refused) > 0 {
		return &partlyError{len(refused)}
	}
	return nil
}

// partlyError says that some recipients were refused while the others get the message.
type partlyError struct{ refused int }

// Error tells it.
func (e *partlyError) Error() string {
	return count(e.refused, "recipient") + " refused; the message goes to the others"
}

// serverAddress takes the words of --server and of a listener's address apart.
func serverAddress(server string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(server, "unix:"); ok {
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return "", "", usagef("send: --server %q must be host:port or unix:/path", server)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

const (
	progressFrom  = 1 << 20 // smaller messages are gone before anybody looks
	progressEvery = 200 * time.Millisecond
)

// progress gives the message; on a terminal it tells how much of a large one is sent until done is called.
func (a *app) progress(m *spool) (message io.Reader, done func()) {
	if m.size < progressFrom || !isTerminal(a.stderr) {
		return m.reader(), func() {}
	}
	p := &progressReader{r: m.reader(), w: a.stderr, size: m.size}
	return p, func() { fmt.Fprint(a.stderr, "\r\x1b[K") }
}

// progressReader tells how much was read.
type progressReader struct {
	r    io.Reader
	w    io.Writer
	size int64
	read int64
	told time.Time
}

// Read implements io.Reader.
func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.read += int64(n)
	if now := time.Now(); now.Sub(p.told) >= progressEvery {
		p.told = now
		fmt.Fprintf(p.w, "\r%s of %s (%d %%)\x1b[K", size(p.read), size(p.size), 100*p.read/p.size)
	}
	return n, err
}
