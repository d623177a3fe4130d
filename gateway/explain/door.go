package explain

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/listen"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// Refusal is what the server would refuse.
type Refusal struct {
	listen.Answer
	Why string `json:"why,omitempty"` // which key of the config says so; may be empty
}

// door is the listener that mail is assumed to come to, and the client that brings it.
type door struct {
	cfg      *config.Config
	listener *config.Listener // nil: the gateway's own mail, which comes to none
	client   netip.Addr       // zero: one of a unix socket
	user     string
}

// findDoor finds the listener that the flags name. Without --listener it is the first that knows the user.
func (c *Case) findDoor(cfg *config.Config) (*door, error) {
	d := &door{cfg: cfg, user: c.User}
	names := []string{config.SubmitName, config.BounceName}
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		names = append(names, l.Address)
		if d.listener == nil && (c.Listener == l.Address || c.Listener == "" && l.User(c.User) != nil) {
			d.listener = l
		}
	}
	switch {
	case d.listener != nil || c.Listener == config.BounceName:
	case c.Listener == config.SubmitName, c.Listener == "" && strings.HasPrefix(c.User, "uid:"):
		d.listener = cfg.SubmitListener()
	case c.Listener == "":
		d.listener = &cfg.Listeners[0]
	default:
		return nil, mistake("no listener %q, only %q", c.Listener, names)
	}
	if c.Client != "" {
		addr, err := netip.ParseAddr(c.Client)
		if err != nil {
			return nil, mistake("--client %q is not an IP address", c.Client)
		}
		d.client = addr
		return d, nil
	}
	d.client = d.usualClient()
	return d, nil
}

// isLocal reports whether the listener is a unix socket, or may be one that systemd passes.
func (d *door) isLocal() bool {
	network, _ := d.listener.Network()
	return network == "unix" || d.listener.Address == config.SubmitName || network == "fd" && strings.HasPrefix(d.user, "uid:")
}

// usualClient is the client where none is named: this machine, or else somebody whom the listener allows.
func (d *door) usualClient() netip.Addr {
	here := netip.MustParseAddr("127.0.0.1")
	switch {
	case d.listener == nil || d.listener.Allows(here) && !d.isLocal():
		return here
	case d.isLocal() || len(d.listener.Allow) == 0:
		return netip.Addr{}
	}
	first := d.listener.Allow[0]
	if addr := first.Addr().Next(); first.Contains(addr) {
		return addr
	}
	return first.Addr()
}

// knows reports whether the user can be known to the listener.
func (d *door) knows() bool {
	return d.user == "" || d.listener.AnyAuth || d.listener.User(d.user) != nil || d.listener.ClientCAFile != "" && !strings.HasPrefix(d.user, "uid:") ||
		strings.HasPrefix(d.user, "uid:") && d.isLocal()
}

// ask returns what the server refuses of a message as a whole, nil for nothing, and of its recipients.
func (d *door) ask(ctx context.Context, about *Case, env *envelope.Envelope, msg *mime.Message, sent bool) (*Refusal, map[string]Refusal, error) {
	if d.listener == nil {
		return nil, nil, nil
	}
	if !d.knows() {
		return &Refusal{listen.Answer{Command: "AUTH", Reply: "535 5.7.8 Authentication credentials invalid"},
			fmt.Sprintf("the listener %s has no user %q", d.listener.Address, d.user)}, nil, nil
	}
	client := listen.Client{Addr: d.client, User: d.user, From: env.From}
	if about.From != "" {
		client.From = strings.Trim(about.From, "<>")
	}
	for _, r := range about.given {
		client.To = append(client.To, r.Address)
	}
	if sent {
		client.Message = make([]byte, msg.Source.Size())
		if _, err := io.ReadFull(io.NewSectionReader(msg.Source, 0, msg.Source.Size()), client.Message); err != nil {
			return nil, nil, err
		}
	}
	if strings.HasPrefix(d.user, "uid:") && d.listener.Auth == "required" && d.listener.User(d.user) == nil {
		client.User = "" // where a login is required an account stands for one only when it is listed
	}
	h := accept.Rehearsal(d.cfg, d.listener)
	refused, err := listen.Rehearse(ctx, d.cfg, d.listener, h, client)
	if err != nil {
		return nil, nil, err
	}
	if refused.Session != nil {
		return &Refusal{*refused.Session, d.why(refused.Session)}, nil, nil
	}
	recipients := map[string]Refusal{}
	for address, answer := range refused.Recipients {
		// What the routes refuse is told with the rules that do so.
		if h.Recipient(ctx, env, &envelope.Recipient{Address: d.cfg.Identity.Qualify(address)}) == nil {
			recipients[address] = Refusal{answer, d.why(&answer)}
		}
	}
	return nil, recipients, nil
}

// why names the key of the config that has to do with a refusal.
func (d *door) why(a *listen.Answer) string {
	code, _, _ := strings.Cut(a.Reply, " ")
	verb, _, _ := strings.Cut(a.Command, " ")
	l := d.listener
	u := l.User(d.user)
	switch {
	case verb == "connect" && code == "554":
		return fmt.Sprintf("%s is not in allow = %q of %s", d.client, l.Allow, l.Address)
	case verb == "MAIL" && code == "530":
		return fmt.Sprintf("auth = %q of %s; --user NAME assumes a login", l.Auth, l.Address)
	case verb == "MAIL" && code == "553" && u != nil && len(u.AllowFrom) > 0:
		return fmt.Sprintf("allow_from = %q of user %s", u.AllowFrom, u.Name)
	case code == "552" && (verb == "MAIL" || verb == "DATA"):
		return fmt.Sprintf("max_message of %s is %d bytes", l.Address, l.MaxMessage)
	case verb == "RCPT" && code == "452":
		return fmt.Sprintf("max_recipients = %d of %s; the client sends it in a message of its own", l.MaxRecipients, l.Address)
	}
	return ""
}

// refuseAll explains for all recipients that the message as a whole is refused.
func (c *Case) refuseAll(r *Refusal) []Answer {
	all := make([]Answer, len(c.given))
	for i := range c.given {
		all[i] = refusedAt(c.given[i].Address, r)
		all[i].Whole = true
	}
	return all
}

func refusedAt(address string, r *Refusal) Answer {
	return Answer{To: address, Decision: r.Command + ": " + r.Reply, Refused: r, Verdicts: []route.Verdict{}}
}

// without returns the recipients that are not refused.
func without(list []envelope.Recipient, refused map[string]Refusal) []envelope.Recipient {
	return slices.DeleteFunc(slices.Clone(list), func(r envelope.Recipient) bool { _, is := refused[r.Address]; return is })
}
