// Package explain says what would become of a message before it is sent: whether a listener takes it, which rules change it,
// which route decides for each recipient, and why others do not.
package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// Case is the envelope that is assumed. What is missing is taken from the message, or is as usual.
type Case struct {
	From     string // envelope sender; "<>" is the null sender
	To       []string
	Client   string // IP address
	User     string // AUTH name
	Listener string // address, as in the config

	// What Envelope makes of them.
	door  *door
	given []envelope.Recipient // as a client would name them
	ended []identity.Ending    // those whose alias leads to no address
}

// Mistake is a case that cannot be: it names what there is not.
type Mistake struct{ words string }

// Error returns the words.
func (m *Mistake) Error() string { return m.words }

func mistake(format string, args ...any) error { return &Mistake{fmt.Sprintf(format, args...)} }

// Envelope returns the assumed envelope; what is missing is taken from the message.
func (c *Case) Envelope(cfg *config.Config, msg *mime.Message) (*envelope.Envelope, error) {
	env := &envelope.Envelope{From: cfg.Identity.Qualify(strings.Trim(c.From, "<>"))}
	if c.From == "" && len(msg.From) > 0 {
		env.From = msg.From[0].Addr
	}
	var err error
	if c.door, err = c.findDoor(cfg); err != nil {
		return nil, err
	}
	env.Client = envelope.Client{Addr: c.door.client, User: c.User, Listener: config.BounceName, Protocol: "ESMTP"}
	if c.door.listener != nil {
		env.Client.Listener = c.door.listener.Address
	}
	to := c.To
	if len(to) == 0 {
		bcc, _ := mime.ParseAddressList(strings.Join(msg.Header.Values("Bcc"), ", ")) // unreadable addresses get nothing
		for _, list := range [][]mime.Address{msg.To, msg.Cc, bcc} {
			for _, addr := range list {
				to = append(to, addr.Addr)
			}
		}
	}
	if len(to) == 0 {
		return nil, mistake("no recipients: use --to ADDRESS, or a message with a To field")
	}
	for _, s := range to {
		c.given = append(c.given, envelope.Recipient{Address: strings.Trim(s, "<>")})
	}
	env.To, c.ended = cfg.Aliases.Expand(cfg.Identity, c.given)
	return env, nil
}

// Ended returns the recipients whose alias leads to no address, and what becomes of them. Envelope finds them.
func (c *Case) Ended() []Answer {
	all := make([]Answer, len(c.ended))
	for i, e := range c.ended {
		all[i] = Answer{To: e.Recipient.Address, Given: e.Recipient.Given, Decision: endingText(e)}
	}
	return all
}

// Explain asks at the door, then evaluates the rules for what comes in.
func (c *Case) Explain(ctx context.Context, cfg *config.Config, msg *mime.Message, sent bool) ([]Answer, error) {
	env, err := c.Envelope(cfg, msg)
	if err != nil {
		return nil, err
	}
	whole, refused, err := c.door.ask(ctx, c, env, msg, sent)
	switch {
	case err != nil:
		return nil, err
	case whole != nil:
		return c.refuseAll(whole), nil
	case len(refused) > 0:
		env.To, c.ended = cfg.Aliases.Expand(cfg.Identity, without(c.given, refused))
	}
	all, err := explain(cfg, env, msg, sent)
	if err != nil {
		return nil, err
	}
	all = append(all, c.Ended()...)
	for _, r := range c.given {
		if why, is := refused[r.Address]; is {
			all = append(all, refusedAt(r.Address, &why))
		}
	}
	return all, nil
}

// explain evaluates the rules that rewrite, then the routes, and what their upstreams think of a message that was sent.
func explain(cfg *config.Config, env *envelope.Envelope, msg *mime.Message, sent bool) ([]Answer, error) {
	if len(env.To) == 0 { // aliases leave nothing to decide
		return nil, nil
	}
	before := env.To
	msg, rewrites, err := accept.Prepare(cfg, env, msg, "EXPLAINED")
	if err != nil {
		return nil, err
	}
	all := make([]Answer, len(env.To))
	in := route.NewInput("", env, msg, msg.Source.Size())
	for i, rcpt := range env.To {
		in.To = rcpt.Address
		verdicts, decision := cfg.Routes.Explain(in)
		all[i] = Answer{To: rcpt.Address, Given: rcpt.Given, Rewrites: rewrites, Verdicts: verdicts, Decision: decisionText(decision), Via: decision.Via}
		all[i].Rewritten = !slices.ContainsFunc(before, func(r envelope.Recipient) bool { return r.Address == rcpt.Address })
		all[i].Copy = all[i].Rewritten && rcpt.Given == ""
	}
	if sent {
		askUpstreams(cfg, env, msg, all)
	}
	return all, nil
}

// askUpstreams adds which upstreams cannot carry the message, so that others get it; each is asked once for all its recipients.
func askUpstreams(cfg *config.Config, env *envelope.Envelope, msg *mime.Message, all []Answer) {
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		var to []envelope.Recipient
		for j := range all {
			if slices.Contains(all[j].Via, u.Name) {
				to = append(to, env.To[j])
			}
		}
		if len(to) == 0 {
			continue
		}
		why := accept.Unfit(u, "EXPLAINED", env, msg, to)
		for j := range all {
			if why != nil && slices.Contains(all[j].Via, u.Name) {
				all[j].Unfit = append(all[j].Unfit, Unfit{u.Name, why.Error()})
			}
		}
	}
}

// Answer is the answer for one recipient.
type Answer struct {
	To       string          `json:"to"`
	Given    string          `json:"given,omitempty"` // before aliases and rewriting
	Copy     bool            `json:"copy,omitempty"`  // added by a rule; gets no notifications
	Decision string          `json:"decision"`
	Verdicts []route.Verdict `json:"verdicts"`
	Refused  *Refusal        `json:"refused,omitempty"` // before any rule was asked

	Rewrites []route.RewriteVerdict `json:"rewrites,omitempty"` // of the message: the same for all its recipients

	Unfit []Unfit `json:"unfit,omitempty"` // upstreams that cannot carry the message

	Via       []string `json:"-"` // upstreams in the order of failover
	Rewritten bool     `json:"-"` // a rule named this recipient
	Whole     bool     `json:"-"` // what was refused is the message
}

// Unfit is an upstream that cannot carry a message.
type Unfit struct {
	Upstream string `json:"upstream"`
	Why      string `json:"why"`
}

func decisionText(d route.Decision) string {
	name := cmp.Or(d.Name, "no route matches")
	switch d.Action {
	case route.Deliver:
		return name + ": via " + strings.Join(d.Via, ", then ")
	case route.Reject:
		return name + ": reject " + d.Reply.Error()
	}
	return name + ": " + d.Action.String()
}

// endingText says what an alias without an address does.
func endingText(e identity.Ending) string {
	switch e.State {
	case envelope.Discarded:
		return "alias: discard"
	case envelope.Held:
		return "alias: hold: " + e.Why
	}
	return "alias: reject: " + e.Why
}
