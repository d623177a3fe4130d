package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/mime"
)

// maxSocketPath is the longest name of a socket that all systems take, in bytes.
const maxSocketPath = 103

func listenSubmit(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s is too long for a socket: choose a shorter run_dir", path)
	}
	return listenUnix(path, 0o666, "")
}

const (
	pickUpEvery = 2 * time.Second  // how often the maildrop is looked at
	pickUpPause = 30 * time.Second // after trouble
)

// pickUp takes in the mail that local programs left in the maildrop while they could not hand it over.
func (g *Gateway) pickUp(ctx context.Context) error {
	box, err := maildrop.Open(g.current.Load().StateDir)
	if err != nil {
		if !errors.Is(err, maildrop.ErrUnsupported) {
			g.journal.InternalError("maildrop", err)
		}
		return nil
	}
	if !box.Private() && os.Geteuid() != 0 {
		g.opts.Log.Info("files of the maildrop cannot be given to the gateway's group; their names alone protect them")
	}
	tell := func(err error) { g.journal.InternalError("maildrop", err) }
	for {
		wait := pickUpEvery
		limit := int64(g.current.Load().SubmitListener().MaxMessage)
		if err := box.Each(ctx, limit, func(d *maildrop.Drop) error { return g.acceptDrop(ctx, d) }, tell); err != nil {
			tell(err)
			wait = pickUpPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// acceptDrop makes a message of the maildrop durable in the queue. Its sender has gone: what routes
// refuse is bounced, what can never be accepted is a *maildrop.Refusal.
func (g *Gateway) acceptDrop(ctx context.Context, d *maildrop.Drop) error {
	cfg := g.current.Load()
	env := d.Envelope
	if err := checkEnvelope(env, cfg.Identity.Domain); err != nil {
		return &maildrop.Refusal{Err: err}
	}
	env.Client = envelope.Client{Protocol: "local", Listener: config.SubmitName, User: accountName(d.UID)}
	ctx = context.WithoutCancel(ctx) // a message that was begun is finished, not repeated
	in, err := g.receive(ctx, cfg, env, d.Body)
	if err == nil {
		_, _, err = g.commit(ctx, in, true)
	}
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code >= 500 {
		return &maildrop.Refusal{Err: err}
	}
	return err
}

// checkEnvelope holds an envelope of the maildrop to what SMTP would have let in.
func checkEnvelope(env *envelope.Envelope, domain string) error {
	if env.From != "" {
		from, err := mime.ParsePath(env.From, domain)
		if err != nil {
			return fmt.Errorf("sender %q: %w", env.From, err)
		}
		env.From = from.String()
	}
	for i := range env.To {
		r := &env.To[i]
		path, err := mime.ParsePath(r.Address, domain)
		if err != nil {
			return fmt.Errorf("recipient %q: %w", r.Address, err)
		}
		*r = envelope.Recipient{Address: path.String(), Notify: r.Notify}
		for _, n := range r.Notify {
			if n != "NEVER" && n != "SUCCESS" && n != "FAILURE" && n != "DELAY" {
				return fmt.Errorf("recipient %q: notify %q is none of RFC 3461", r.Address, n)
			}
		}
	}
	if ret := env.Ret; ret != "" && ret != "FULL" && ret != "HDRS" {
		return fmt.Errorf("ret %q is none of RFC 3461", ret)
	}
	if body := env.Body; body != "" && body != "7BIT" && body != "8BITMIME" {
		return fmt.Errorf("body %q is none of RFC 6152", body)
	}
	if len(env.EnvID) > 100 || !plainText(env.EnvID) {
		return fmt.Errorf("envid %q is none of RFC 3461", env.EnvID)
	}
	return nil
}

func plainText(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}
