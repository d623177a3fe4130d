package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	mail "github.com/wneessen/go-mail"

	"mailhatch/gateway"
)

// listFlag is a flag that may be given several times, or once with commas.
type listFlag []string

// String is for the flag package.
func (l *listFlag) String() string { return strings.Join(*l, ", ") }

// Set adds values.
func (l *listFlag) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// runSend hands one message to the running gateway by SMTP, as any program would.
func runSend(ctx context.Context, a *app, args []string) error {
	fs := a.flags("send")
	var to, cc, bcc, attach listFlag
	fs.Var(&to, "to", "recipient `address`; may be given again")
	fs.Var(&cc, "cc", "recipient of a copy")
	fs.Var(&bcc, "bcc", "recipient of a hidden copy")
	fs.Var(&attach, "attach", "`file` to attach; may be given again")
	from := fs.String("from", "", "sender `address` (default: you at this machine)")
	subject := fs.String("subject", "", "`text` of the subject")
	body := fs.String("body", "", "`text` of the message (default: standard input, or a line of its own on a terminal)")
	server := fs.String("server", "", "`address` of the gateway (default: the first listener of the config)")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if to = append(to, rest...); len(to)+len(cc)+len(bcc) == 0 {
		return usagef("send: --to is missing")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	text, err := a.bodyText(*body)
	if err != nil {
		return err
	}
	m, err := compose(defaultSender(*from, cfg.Hostname), *subject, text, to, cc, bcc, attach)
	if err != nil {
		return err
	}
	reply, err := submit(ctx, cfg, *server, m)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, reply)
	return nil
}

func (a *app) bodyText(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if f, ok := a.stdin.(*os.File); ok {
		if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice != 0 {
			return "This is a test message from mailhatch.\n", nil
		}
	}
	b, err := io.ReadAll(a.stdin)
	if len(b) == 0 {
		b = []byte("This is a test message from mailhatch.\n")
	}
	return string(b), err
}

func defaultSender(from, hostname string) string {
	if from != "" {
		return from
	}
	name := "mailhatch"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	}
	if !strings.Contains(hostname, ".") {
		hostname += ".localdomain"
	}
	return name + "@" + hostname
}

func compose(from, subject, text string, to, cc, bcc, attach []string) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	steps := []error{m.From(from)}
	for _, s := range to {
		steps = append(steps, m.AddTo(s))
	}
	for _, s := range cc {
		steps = append(steps, m.AddCc(s))
	}
	for _, s := range bcc {
		steps = append(steps, m.AddBcc(s))
	}
	if err := errors.Join(steps...); err != nil {
		return nil, usagef("send: %v", err)
	}
	m.SetDate()
	m.SetMessageID()
	if subject == "" {
		subject = "Test message"
	}
	m.Subject(subject)
	m.SetBodyString(mail.TypeTextPlain, text)
	for _, path := range attach {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		m.AttachFile(path)
	}
	return m, nil
}

// submit sends m to a listener and gives the server's reply.
func submit(ctx context.Context, cfg *gateway.Config, server string, m *mail.Msg) (string, error) {
	if server == "" {
		server = cfg.Listeners[0].Address
	}
	network, address := "tcp", server
	if path, ok := strings.CutPrefix(server, "unix:"); ok {
		network, address = "unix", path
	} else if strings.HasPrefix(server, "fd:") {
		return "", usagef("send: the first listener is %s: say --server HOST:PORT", server)
	}
	host, port := "localhost", 25
	if network == "tcp" {
		h, p, err := net.SplitHostPort(server)
		if err != nil {
			return "", usagef("send: --server %q must be host:port or unix:/path", server)
		}
		if ip := net.ParseIP(h); h == "" || (ip != nil && ip.IsUnspecified()) {
			h = "127.0.0.1"
		}
		host = h
		if port, err = strconv.Atoi(p); err != nil {
			return "", usagef("send: %q is no port", p)
		}
		address = net.JoinHostPort(host, p)
	}
	var d net.Dialer
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS), mail.WithTimeout(time.Minute),
		mail.WithDialContextFunc(func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, network, address) }))
	if err != nil {
		return "", err
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return "", hintf(fmt.Errorf("no gateway answers at %s", server), "start one with: mailhatch serve")
		}
		return "", err
	}
	return m.ServerResponse(), nil
}
