package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// delivery is what the deliverer follows under a config.
func (g *Gateway) delivery(cfg *config.Config) *deliver.Config {
	d := &deliver.Config{
		Route: func(m *queue.Message, msg *mime.Message, to string) route.Decision { return decide(cfg, m, msg, to) },
		Policy: deliver.Policy{
			MaxAge: cfg.Queue.MaxAge.Duration, FailoverAfter: cfg.Queue.FailoverAfter, OnFailure: cfg.Queue.OnFailure,
			OnUncertain: cfg.Queue.OnUncertain, WarnAfter: cfg.Queue.WarnAfter.Duration,
			Hostname: cfg.Hostname, Drain: cfg.ShutdownTimeout,
		},
	}
	for _, r := range cfg.Queue.Retry {
		d.Policy.Retry = append(d.Policy.Retry, r.Duration)
	}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		du := deliver.Upstream{Name: u.Name, Upstream: u.Upstream, SMTP: u.Kind.SMTPStatus, MaxConcurrent: u.MaxConcurrent,
			Rate: u.Rate.PerSecond(), Failover: cfg.Routes.Alternatives(u.Name)}
		if u.Sender != nil {
			du.Rewrite = u.Sender.Apply
		}
		d.Upstreams = append(d.Upstreams, du)
	}
	return d
}

// decide routes one recipient of a queued message by a config.
func decide(cfg *config.Config, m *queue.Message, msg *mime.Message, to string) route.Decision {
	in := route.NewInput(m.ID, &m.Envelope, msg, m.Size)
	in.To = to
	in.Released = len(m.Parts) > 0 && m.Parts[0].Progress.Released
	return cfg.Routes.Decide(in)
}

func eightBit(b []byte) bool {
	return slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 })
}

// submitBounce queues a notification. It has the null sender, so that it is never bounced itself. Where
// the routes refuse it there is no use in trying again.
func (g *Gateway) submitBounce(ctx context.Context, to string, msg []byte) (string, error) {
	env := &envelope.Envelope{To: []envelope.Recipient{{Address: to, Notify: []string{"NEVER"}}},
		Client: envelope.Client{Protocol: "local", Listener: "bounce"}, UTF8: eightBit([]byte(to))}
	if eightBit(msg) {
		env.Body = "8BITMIME"
	}
	id, _, err := g.accept(ctx, env, bytes.NewReader(msg))
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code/100 == 5 {
		return "", fmt.Errorf("%w: to %s: %w", deliver.ErrRefused, to, err)
	}
	return id, err
}
