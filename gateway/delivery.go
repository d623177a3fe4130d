package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/feedback"
	"mailhatch/gateway/feedback/webhook"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/listen"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// delivery translates a config for the deliverer.
func (g *Gateway) delivery(cfg *config.Config) *deliver.Config {
	d := &deliver.Config{
		Clock: g.clock, Pauses: g.queue, Suppressed: g.queue.Suppressed, ToldOf: g.queue.ToldOf,
		Route: func(m *queue.Message, msg *mime.Message) func(string) route.Decision { return decide(cfg, m, msg) },
		Aliases: func(to []envelope.Recipient) ([]envelope.Recipient, []identity.Ending) {
			return cfg.Aliases.Expand(cfg.Identity, to)
		},
		Policy: deliver.Policy{
			MaxAge: cfg.Queue.MaxAge.Duration, FailoverAfter: cfg.Queue.FailoverAfter, OnFailure: cfg.Queue.OnFailure,
			OnUncertain: cfg.Queue.OnUncertain,
			Hostname:    cfg.Hostname, Drain: cfg.ShutdownTimeout,
		},
	}
	if g.fleet != nil {
		d.Fleet = g.fleet
	}
	for _, r := range cfg.Queue.Retry {
		d.Policy.Retry = append(d.Policy.Retry, r.Duration)
	}
	for _, w := range cfg.Queue.WarnAfter {
		d.Policy.WarnAfter = append(d.Policy.WarnAfter, w.Duration)
	}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		du := deliver.Upstream{Name: u.Name, Upstream: u.Upstream, SMTP: u.Kind.SMTPStatus, MaxConcurrent: u.MaxConcurrent, Together: u.Together,
			Rate: u.Rate.PerSecond(), MaxRecipients: u.MaxRecipients, RatePerDomain: u.RatePerDomain.PerSecond(),
			Quota: u.Quota, QuotaZone: u.QuotaZone, ThrottleOn: u.ThrottleOn,
			Failover: cfg.Routes.Alternatives(u.Name)}
		if u.Sender != nil || u.HideReceived {
			du.Departure = u.Departure
		}
		d.Upstreams = append(d.Upstreams, du)
	}
	return d
}

// follower follows what providers tell later.
func (g *Gateway) follower(cfg *config.Config) *feedback.Follower {
	var alone func(context.Context, string, time.Duration) bool
	if g.fleet != nil {
		alone = g.fleet.Alone
	}
	return feedback.New(feedback.Tools{Alone: alone, Store: g.queue, Journal: g.journal, Clock: g.clock, Busy: g.deliverer.AtRate,
		Door: feedback.Door{Submit: g.accept.Report, Refused: func(err error) bool { return errors.Is(err, deliver.ErrRefused) },
			Count: g.deliverer.Notified, After: g.deliverer.NotifyAfter}}, g.listening(cfg))
}

// listening translates a config for the follower.
func (g *Gateway) listening(cfg *config.Config) *feedback.Config {
	f := &feedback.Config{KeepSent: cfg.Queue.KeepSent.Duration, Hostname: cfg.Hostname, Notify: func(l *feedback.Late) bool { return notifiesLate(cfg, l) }}
	for i := range cfg.Upstreams {
		if u, ok := cfg.Upstreams[i].Upstream.(upstream.Feedback); ok {
			f.Sources = append(f.Sources, feedback.Source{Name: cfg.Upstreams[i].Name, Feedback: u})
		}
	}
	return f
}

// eventEndpoints is where providers tell by webhooks what became of mail, if any does.
func (g *Gateway) eventEndpoints(cfg *config.Config) []listen.Endpoint {
	if !cfg.TakesWebhooks() {
		return nil
	}
	e := &cfg.Events
	return []listen.Endpoint{{Name: "events", Address: e.Address, Settings: adminSettings{e.Encryption, nil, cfg.Hostname}, Bind: bindTCP(e.Address),
		Server: func() (listen.Server, error) {
			c := webhook.Config{Take: g.feedback.Receive, Journal: g.journal, Log: g.opts.Log}
			if e.TLS != "none" {
				var err error
				if c.TLS, err = listen.TLS(cfg, &e.Encryption, g.opts.Log); err != nil {
					return nil, err
				}
			}
			return webhook.New(c), nil
		}}}
}

// notifiesLate reports whether a sender hears of mail that did not arrive.
func notifiesLate(cfg *config.Config, l *feedback.Late) bool {
	in := route.NewInput(l.ID, &l.Envelope, cmp.Or(l.Header, &mime.Message{}), l.Size)
	in.To = l.Recipient
	return cmp.Or(cfg.Routes.Decide(in).OnLateBounce, cfg.Queue.OnLateBounce) == "bounce"
}

// decide routes the recipients of a queued message by a config.
func decide(cfg *config.Config, m *queue.Message, msg *mime.Message) func(to string) route.Decision {
	in := route.NewInput(m.ID, &m.Envelope, msg, m.Size)
	in.Released = len(m.Parts) > 0 && m.Parts[0].Progress.Released
	return func(to string) route.Decision {
		in.To = to
		d := cfg.Routes.Decide(in)
		d.Regardless = d.Regardless || m.Envelope.Client.Listener == envelope.CanaryListener
		return d
	}
}

// refusedLook is how many messages of a lane are looked at for one that waits because its upstream refused the account.
const refusedLook = 1000

// tryRefused makes mail due, at the start, that waits for upstreams which refused the account: what they refused it for
// may be healed. Delivery does so at its end for all closed upstreams, but not before a crash, and not for very much mail.
func (g *Gateway) tryRefused(ctx context.Context) {
	g.deliverer.Await(ctx)
	lanes, err := g.queue.Lanes(ctx)
	for lane := range lanes {
		var list []queue.Message
		if list, err = g.queue.List(ctx, queue.Filter{Lane: lane, State: envelope.Queued}, queue.Page{Limit: refusedLook}); err != nil {
			break
		}
		refused := func(p queue.Part) bool { return p.Lane == lane && p.Progress.Class == upstream.Account.String() }
		if slices.ContainsFunc(list, func(m queue.Message) bool { return slices.ContainsFunc(m.Parts, refused) }) {
			if err = g.queue.Hasten(ctx, lane, time.Time{}); err != nil {
				break
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		g.journal.InternalError("queue", err)
	}
}
