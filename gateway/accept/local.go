package accept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// Bounce queues a notification. It has the null sender, so that it is never bounced itself. Where
// the routes refuse it trying again is useless.
func (a *Acceptor) Bounce(ctx context.Context, to string, msg []byte) (string, error) {
	return a.Report(ctx, to, msg, nil)
}

// Report queues a notification of late bounces, which are named by their keys. The error wraps queue.ErrReported where
// another one has been queued.
func (a *Acceptor) Report(ctx context.Context, to string, msg []byte, keys []string) (string, error) {
	env := &envelope.Envelope{To: []envelope.Recipient{{Address: to, Notify: []string{"NEVER"}}},
		Client: envelope.Client{Protocol: "local", Listener: config.BounceName}, UTF8: !mime.IsASCII(to)}
	if !mime.IsASCII(msg) {
		env.Body = "8BITMIME"
	}
	in, err := a.receive(ctx, env, bytes.NewReader(msg), nil)
	if err != nil {
		return "", err
	}
	defer in.close()
	id, err := a.commit(ctx, in, false, keys)
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code/100 == 5 {
		return "", fmt.Errorf("%w: to %s: %w", deliver.ErrRefused, to, err)
	}
	return id, err
}

// Canary queues a mail by which the gateway finds out whether an upstream delivers: it goes through that one whatever routes
// say, and nobody is notified of its end.
func (a *Acceptor) Canary(ctx context.Context, from, to, via string, msg []byte) (id string, err error) {
	env := &envelope.Envelope{From: from, To: []envelope.Recipient{{Address: to, Notify: []string{"NEVER"}}},
		Client: envelope.Client{Protocol: "local", Listener: envelope.CanaryListener}, UTF8: !mime.IsASCII(from + to)}
	if !mime.IsASCII(msg) {
		env.Body = "8BITMIME"
	}
	in, err := a.receive(ctx, env, bytes.NewReader(msg), nil)
	if err != nil {
		return "", err
	}
	defer in.close()
	if len(in.env.To) == 0 {
		return "", fmt.Errorf("%s is an alias that leads nowhere", to)
	}
	parts, err := a.partsAgain(ctx, in, via)
	if err != nil {
		return "", err
	}
	start := time.Now()
	kept := in.kept(parts, nil)
	kept.Events = append(kept.Events, queue.Event{At: in.env.Received, Kind: queue.EventCanary, Upstream: via})
	if err := in.draft.Commit(ctx, kept); err != nil {
		return "", a.storeReply(err)
	}
	a.accepted(in, time.Since(start))
	return in.id, nil
}

// Drop makes a message of the maildrop durable in the queue. Its sender has gone: what routes
// refuse is bounced, what can never be accepted is a *maildrop.Refusal.
func (a *Acceptor) Drop(ctx context.Context, d *maildrop.Drop) error {
	env := d.Envelope
	bad, err := checkEnvelope(env, a.Config().Identity.Domain)
	if err != nil {
		return &maildrop.Refusal{Err: err}
	}
	env.Client = envelope.Client{Protocol: "local", Listener: config.SubmitName, User: envelope.AccountUser(d.UID)}
	ctx = context.WithoutCancel(ctx) // a message that was begun is finished, not repeated
	_, err = a.accept(ctx, env, d.Body, true, bad...)
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code >= 500 {
		return &maildrop.Refusal{Err: err}
	}
	return err
}

// checkEnvelope holds an envelope of the maildrop to what SMTP would have let in. Recipients that are no
// addresses are taken out of it: the others must not suffer.
func checkEnvelope(env *envelope.Envelope, domain string) (bad []identity.Ending, err error) {
	if env.From != "" {
		from, err := mime.ParsePath(env.From, domain)
		if err != nil {
			return nil, fmt.Errorf("sender %q: %w", env.From, err)
		}
		env.From = from.String()
	}
	var good []envelope.Recipient
	for _, r := range env.To {
		for _, n := range r.Notify {
			if n != "NEVER" && n != "SUCCESS" && n != "FAILURE" && n != "DELAY" {
				return nil, fmt.Errorf("recipient %q: notify %q is not defined by RFC 3461", r.Address, n)
			}
		}
		path, err := mime.ParsePath(r.Address, domain)
		if err != nil {
			bad = append(bad, malformed(r, err))
			continue
		}
		good = append(good, envelope.Recipient{Address: path.String(), Given: path.Bare, Notify: r.Notify})
	}
	env.To = good
	if ret := env.Ret; ret != "" && ret != "FULL" && ret != "HDRS" {
		return nil, fmt.Errorf("ret %q is not defined by RFC 3461", ret)
	}
	if body := env.Body; body != "" && body != "7BIT" && body != "8BITMIME" {
		return nil, fmt.Errorf("body %q is not defined by RFC 6152", body)
	}
	if len(env.EnvID) > 100 || !plainText(env.EnvID) {
		return nil, fmt.Errorf("envid %q is not defined by RFC 3461", env.EnvID)
	}
	return bad, nil
}

// malformed is a recipient that is not an address.
func malformed(r envelope.Recipient, err error) identity.Ending {
	const longest = 200 // bytes
	text := strings.ToValidUTF8(r.Address[:min(len(r.Address), longest)], "?")
	return identity.Ending{Recipient: envelope.Recipient{Address: text, Notify: r.Notify}, State: envelope.Failed,
		Why: err.Error(), Enhanced: [3]int{5, 1, 3}} // RFC 3463: bad destination mailbox address syntax
}

func plainText(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}
