package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/listen"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// refusal is what the server would refuse.
type refusal struct {
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
func (e *envelopeFlags) findDoor(cfg *config.Config) (*door, error) {
	d := &door{cfg: cfg, user: e.user}
	names := []string{config.SubmitName, config.BounceName}
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		names = append(names, l.Address)
		if d.listener == nil && (e.listener == l.Address || e.listener == "" && l.User(e.user) != nil) {
			d.listener = l
		}
	}
	switch {
	case d.listener != nil || e.listener == config.BounceName:
	case e.listener == config.SubmitName, e.listener == "" && strings.HasPrefix(e.user, "uid:"):
		d.listener = cfg.SubmitListener()
	case e.listener == "":
		d.listener = &cfg.Listeners[0]
	default:
		return nil, command.Usagef("no listener %q, only %q", e.listener, names)
	}
	if e.client != "" {
		addr, err := netip.ParseAddr(e.client)
		if err != nil {
			return nil, command.Usagef("--client %q is not an IP address", e.client)
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
func (d *door) ask(ctx context.Context, e *envelopeFlags, env *envelope.Envelope, msg *mime.Message, sent bool) (*refusal, map[string]refusal, error) {
	if d.listener == nil {
		return nil, nil, nil
	}
	if !d.knows() {
		return &refusal{listen.Answer{Command: "AUTH", Reply: "535 5.7.8 Authentication credentials invalid"},
			fmt.Sprintf("the listener %s has no user %q", d.listener.Address, d.user)}, nil, nil
	}
	c := listen.Client{Addr: d.client, User: d.user, From: env.From}
	if e.from != "" {
		c.From = strings.Trim(e.from, "<>")
	}
	for _, r := range e.given {
		c.To = append(c.To, r.Address)
	}
	if sent {
		c.Message = make([]byte, msg.Source.Size())
		if _, err := io.ReadFull(io.NewSectionReader(msg.Source, 0, msg.Source.Size()), c.Message); err != nil {
			return nil, nil, err
		}
	}
	if strings.HasPrefix(d.user, "uid:") && d.listener.Auth == "required" && d.listener.User(d.user) == nil {
		c.User = "" // where a login is required an account stands for one only when it is listed
	}
	h := accept.Rehearsal(d.cfg, d.listener)
	refused, err := listen.Rehearse(ctx, d.cfg, d.listener, h, c)
	if err != nil {
		return nil, nil, err
	}
	if refused.Session != nil {
		return &refusal{*refused.Session, d.why(refused.Session)}, nil, nil
	}
	recipients := map[string]refusal{}
	for address, answer := range refused.Recipients {
		// What the routes refuse is told with the rules that do so.
		if h.Recipient(ctx, env, &envelope.Recipient{Address: d.cfg.Identity.Qualify(address)}) == nil {
			recipients[address] = refusal{answer, d.why(&answer)}
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

// print writes a refusal.
func (r *refusal) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", r.Command, r.Reply)
	if r.Why != "" {
		fmt.Fprintf(w, "  %s\n", r.Why)
	}
}

// refuseAll explains for all recipients that the message as a whole is refused.
func (e *envelopeFlags) refuseAll(r *refusal) []explanation {
	all := make([]explanation, len(e.given))
	for i := range e.given {
		all[i] = refusedAt(e.given[i].Address, r)
		all[i].whole = true
	}
	return all
}

func refusedAt(address string, r *refusal) explanation {
	return explanation{To: address, Decision: r.Command + ": " + r.Reply, Refused: r, Verdicts: []route.Verdict{}}
}

// without returns the recipients that are not refused.
func without(list []envelope.Recipient, refused map[string]refusal) []envelope.Recipient {
	return slices.DeleteFunc(slices.Clone(list), func(r envelope.Recipient) bool { _, is := refused[r.Address]; return is })
}
