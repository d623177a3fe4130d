package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/send"
	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
)

const testText = "This is a test message from mailhatch.\n"

// runSend composes one message and submits it to the gateway.
func runSend(ctx context.Context, a *app, args []string) error {
	fs := a.flags("send")
	var l send.Letter
	fs.Var(&l.To, "to", "recipient `address`; may be repeated; addresses after the flags are recipients too")
	fs.Var(&l.Cc, "cc", "`address` that gets a copy; may be repeated")
	fs.Var(&l.Bcc, "bcc", "`address` that gets a blind copy; may be repeated")
	fs.Var(&l.ReplyTo, "reply-to", "`address` for replies; may be repeated")
	fs.Var(&l.Attach, "attach", "`file` to attach; may be repeated")
	fs.Var(&l.Attach, "a", "the same as --attach")
	fs.StringVar(&l.From, "from", "", "sender `address` (default: $EMAIL, else the account)")
	fs.StringVar(&l.From, "r", "", "the same as --from")
	fs.StringVar(&l.Subject, "subject", "", "`text` of the subject")
	fs.StringVar(&l.Subject, "s", "", "the same as --subject")
	fs.StringVar(&l.Text, "body", "", "`text` of the message (default: standard input)")
	fs.BoolVar(&l.HTML, "html", false, "the text is HTML")
	server := fs.String("server", "", "`address` of a gateway, host:port or unix:/path (default: from the config)")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if l.To = append(l.To, rest...); len(l.To)+len(l.Cc)+len(l.Bcc) == 0 {
		return command.Usagef("send: --to is missing")
	}
	if err := a.readText(&l); err != nil {
		return err
	}
	m := &submit.Spool{}
	defer m.Close()
	env, err := l.Compose(m)
	if err != nil {
		return err
	}
	to := send.Destinations{Servers: []string{*server}}
	if *server == "" {
		if to, err = a.destinations(); err != nil {
			return err
		}
	}
	return a.senderHint(send.Submit(ctx, to, env, m, a.stdout, a.stderr), env)
}

// senderHint names the line that the config needs where an upstream carries no mail from this machine's name, such
// as root@app1.
func (a *app) senderHint(err error, env *envelope.Envelope) error {
	var no *submit.ReplyError
	if !errors.As(err, &no) || !strings.HasPrefix(no.Text, "5.1.7 ") { // RFC 3463: bad sender's address
		return err
	}
	cfg, cfgErr := a.config()
	if cfgErr != nil {
		return err
	}
	decision, _ := cfg.Routes.Early(&route.Input{Envelope: env, To: cfg.Identity.Qualify(env.To[0].Address)})
	if len(decision.Via) == 0 {
		return err
	}
	return command.Hintf(err, "add this line to [upstream.%s] in %s, with an address of yours there, then mailhatch reload; or use --from\n    rewrite_from = \"noreply@example.com\"",
		decision.Via[0], cmp.Or(cfg.File, "the config"))
}

// readText reads standard input unless the text was given. A message without any content is a test.
func (a *app) readText(l *send.Letter) error {
	if l.Text != "" {
		return nil
	}
	// While standard input is read, a signal ends the program at once, as it ends any filter.
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	if terminal.Interactive(a.stdin) {
		fmt.Fprintln(a.stderr, "mailhatch: write the message and end it with Ctrl-D on a line of its own; if it is empty, a test message is sent")
	}
	b, err := io.ReadAll(a.stdin)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	l.Text = string(b)
	if l.Text == "" && (terminal.Interactive(a.stdin) || l.Subject == "" && len(l.Attach) == 0) {
		l.Text = testText
		if l.Subject == "" {
			l.Subject = "Test message"
		}
	}
	return nil
}

// destinations returns the sockets, maildrops and the first listener of the gateway of the config or, if
// this account may not read it, of those that sendmail looks for.
func (a *app) destinations() (send.Destinations, error) {
	var d send.Destinations
	places, err := a.submitPlaces()
	if err != nil {
		return d, err
	}
	for _, place := range places {
		d.Servers = append(d.Servers, "unix:"+place.Socket)
		d.Maildrops = append(d.Maildrops, place.Maildrop)
	}
	if cfg, err := a.config(); err == nil && !strings.HasPrefix(cfg.Listeners[0].Address, "fd:") {
		d.Servers = append(d.Servers, cfg.Listeners[0].Address)
	}
	return d, nil
}

func (a *app) submitPlaces() ([]config.SubmitPlace, error) {
	stateDir, runDir, err := config.Dirs(config.Find(a.configPath))
	if errors.Is(err, fs.ErrPermission) {
		return config.SubmitPlaces(a.configPath)
	}
	if err != nil {
		return nil, err
	}
	return []config.SubmitPlace{config.PlaceIn(stateDir, runDir)}, nil
}
