package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"mailhatch/mime"
)

// listFlag is a flag that may be given several times.
type listFlag []string

// String is for the flag package.
func (l *listFlag) String() string { return strings.Join(*l, ", ") }

// Set adds a value.
func (l *listFlag) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// letter is what the command line of send asks for.
type letter struct {
	from, subject, text string
	replyTo             listFlag
	to, cc, bcc         listFlag
	attach              listFlag
	html                bool // text is HTML
}

const testText = "This is a test message from mailhatch.\n"

// runSend writes one message and hands it to the gateway.
func runSend(ctx context.Context, a *app, args []string) error {
	fs := a.flags("send")
	var l letter
	fs.Var(&l.to, "to", "recipient `address`; may be given again, and without --to")
	fs.Var(&l.cc, "cc", "`address` that gets a copy; may be given again")
	fs.Var(&l.bcc, "bcc", "`address` that gets a hidden copy; may be given again")
	fs.Var(&l.replyTo, "reply-to", "`address` for answers; may be given again")
	fs.Var(&l.attach, "attach", "`file` to attach; may be given again")
	fs.Var(&l.attach, "a", "the same as --attach")
	fs.StringVar(&l.from, "from", "", "sender `address` (default: $EMAIL, else the account)")
	fs.StringVar(&l.from, "r", "", "the same as --from")
	fs.StringVar(&l.subject, "subject", "", "`text` of the subject")
	fs.StringVar(&l.subject, "s", "", "the same as --subject")
	fs.StringVar(&l.text, "body", "", "`text` of the message (default: standard input)")
	fs.BoolVar(&l.html, "html", false, "the text is HTML")
	server := fs.String("server", "", "`address` of a gateway, host:port or unix:/path (default: the one of the config)")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if l.to = append(l.to, rest...); len(l.to)+len(l.cc)+len(l.bcc) == 0 {
		return usagef("send: --to is missing")
	}
	if err := a.readText(&l); err != nil {
		return err
	}
	m := &spool{}
	defer m.close()
	env, err := l.compose(m)
	if err != nil {
		return err
	}
	return a.submit(ctx, *server, env, m)
}

// readText reads standard input where the text was not given. A message without anything is a test.
func (a *app) readText(l *letter) error {
	if l.text != "" {
		return nil
	}
	// While standard input is read, a signal ends the program at once, as it ends any filter.
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	if isTerminal(a.stdin) {
		fmt.Fprintln(a.stderr, "mailhatch: write the message; Ctrl-D on a line of its own ends it, with nothing before it a test message is sent")
	}
	b, err := io.ReadAll(a.stdin)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	l.text = string(b)
	if l.text == "" && (isTerminal(a.stdin) || l.subject == "" && len(l.attach) == 0) {
		l.text = testText
		if l.subject == "" {
			l.subject = "Test message"
		}
	}
	return nil
}

// sender gives the author: the one that was named, else as sendmail does.
func (l *letter) sender() (mime.Address, error) {
	if l.from == "" {
		who := newAuthor(&sendmailFlags{}, os.Getenv)
		return mime.Address{Name: who.name, Addr: who.addr}, nil
	}
	list, err := addressList("--from", []string{l.from})
	if err == nil && len(list) != 1 {
		err = usagef("send: --from %q must be one address", l.from)
	}
	if err != nil {
		return mime.Address{}, err
	}
	return list[0], nil
}

// addressList reads addresses of the command line, each with or without a name, or several with commas.
// Names without a domain are completed by the gateway.
func addressList(flag string, words []string) ([]mime.Address, error) {
	var all []mime.Address
	for _, w := range words {
		list, err := mime.ParseAddressList(w)
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("%q is no address", w)
		}
		for _, a := range list {
			if err == nil {
				err = checkAddress(a.Addr)
			}
		}
		if err != nil {
			return nil, hintf(usagef("send: %s: %v", flag, err), `write ann@example.org or "Ann <ann@example.org>"`)
		}
		all = append(all, list...)
	}
	return all, nil
}
