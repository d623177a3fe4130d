package send

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
)

// Destinations are where a message is submitted: the first server that answers gets it, and if none does
// the first maildrop that accepts it. A server is host:port or unix:/path.
type Destinations struct {
	Servers   []string
	Maildrops []string      // directories
	Patience  time.Duration // how long a gateway that does not answer is waited for; 0: submit.Patience
}

// Submit submits the message. It prints the reply on stdout, and refused recipients and the progress
// of a large message on stderr. Where no maildrop keeps it, it waits for a gateway that restarts.
func Submit(ctx context.Context, d Destinations, env *envelope.Envelope, m *submit.Spool, stdout, stderr io.Writer) error {
	err := submit.Persist(ctx, cmp.Or(d.Patience, submit.Patience), func() error { return client{stdout, stderr}.submit(ctx, d, env, m) })
	var notKept *submit.NotKept
	if errors.As(err, &notKept) {
		err = command.Hintf(fmt.Errorf("%w; the message was NOT kept", err), "start one with: mailhatch serve")
	}
	return err
}

// submit offers the message everywhere once.
func (c client) submit(ctx context.Context, d Destinations, env *envelope.Envelope, m *submit.Spool) error {
	var err error
	for _, server := range d.Servers {
		// After other failures the gateway may have the message: it is not offered twice.
		if err = c.submitTo(ctx, server, env, m); !errors.Is(err, errNoGateway) {
			break
		}
	}
	if len(d.Maildrops) == 0 || !canWait(err) {
		return err
	}
	var failures []error
	for _, dir := range d.Maildrops {
		dropErr := maildrop.Write(dir, env, m.Size(), m.Reader())
		if dropErr == nil {
			fmt.Fprintf(c.stderr, "mailhatch: warning: %v\nhint: the message is kept in %s and sent when the gateway accepts mail\n", err, dir)
			return nil
		}
		failures = append(failures, &submit.NotKept{Gateway: err, Drop: dropErr, Dir: dir})
	}
	return errors.Join(failures...)
}

type client struct{ stdout, stderr io.Writer }

var errNoGateway = errors.New("no gateway answers")

// noGateway is where none does.
type noGateway struct {
	server string
	cause  error
}

// Error names the place; what the system says of it adds nothing for a person.
func (e *noGateway) Error() string { return errNoGateway.Error() + " at " + e.server }

// Unwrap returns errNoGateway and the cause.
func (e *noGateway) Unwrap() []error { return []error{errNoGateway, e.cause} }

// canWait reports whether the gateway has not accepted the message and may do so later.
func canWait(err error) bool {
	var no *submit.ReplyError
	if errors.As(err, &no) {
		return no.Code < 500
	}
	var partly *partlyError
	return err != nil && !errors.As(err, &partly)
}

// submitTo submits the message to one server and prints the reply.
func (c client) submitTo(ctx context.Context, server string, env *envelope.Envelope, m *submit.Spool) error {
	network, address, err := serverAddress(server)
	if err != nil {
		return err
	}
	conn, err := submit.Dial(ctx, network, address)
	if err != nil {
		return command.Hintf(&noGateway{server, err}, "start one with: mailhatch serve")
	}
	done := func() {}
	sent, err := submit.Send(conn, env, m, func() (message io.Reader) {
		message, done = c.progress(m)
		return message
	})
	done()
	if sent.Reply != "" {
		fmt.Fprintln(c.stdout, terminal.Plain(sent.Reply))
	}
	for _, r := range sent.Refused {
		fmt.Fprintf(c.stderr, "mailhatch: <%s>: %v\n", terminal.Plain(r.Address), terminal.Plain(r.Reply.Error()))
	}
	if err != nil {
		env.To = sent.Rest
		return err
	}
	if len(sent.Refused) > 0 {
		return &partlyError{len(sent.Refused)}
	}
	return nil
}

// partlyError means that some recipients were refused while the others get the message.
type partlyError struct{ refused int }

// Error implements error.
func (e *partlyError) Error() string {
	return terminal.Count(e.refused, "recipient") + " refused; the message goes to the others"
}

// serverAddress parses the value of --server or the address of a listener.
func serverAddress(server string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(server, "unix:"); ok {
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return "", "", command.Usagef("send: --server %q must be host:port or unix:/path", server)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

const (
	progressFrom  = 1 << 20 // smaller messages are sent before anybody looks
	progressEvery = 200 * time.Millisecond
)

// progress returns the message; on a terminal it shows how much of a large one is sent, until done is called.
func (c client) progress(m *submit.Spool) (message io.Reader, done func()) {
	if m.Size() < progressFrom || !terminal.Interactive(c.stderr) {
		return m.Reader(), func() {}
	}
	screen := terminal.Raw(c.stderr)
	p := &progressReader{r: m.Reader(), w: screen, size: m.Size()}
	return p, func() { fmt.Fprint(screen, "\r\x1b[K") }
}

// progressReader shows how much was read.
type progressReader struct {
	r     io.Reader
	w     io.Writer
	size  int64
	read  int64
	shown time.Time
}

// Read implements io.Reader.
func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.read += int64(n)
	if now := time.Now(); now.Sub(p.shown) >= progressEvery {
		p.shown = now
		fmt.Fprintf(p.w, "\r%s of %s (%d %%)\x1b[K", terminal.Size(p.read), terminal.Size(p.size), 100*p.read/p.size)
	}
	return n, err
}
