package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/alert"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// alertWatcher tells operators what needs them.
func (g *Gateway) alertWatcher() *alert.Watcher {
	cfg := g.current.Load()
	w := alert.New(alert.Config{
		Upstreams: g.faultyUpstreams, Queue: g.queuedDepth, Full: g.whyFull, Endings: g.endings, Maildrop: g.drops,
		Healthy: func() bool { return len(g.notReady()) == 0 },
		Now:     g.clock.Now, Journal: g.journal, Outbox: g.queue, Dir: cfg.StateDir, Version: g.opts.Version,
	})
	w.Follow(cfg.Alerts, cfg.Hostname)
	return w
}

// faultyUpstreams says which upstreams are closed by a fault: a quota of the config, and what an operator has paused,
// are none. All of the config are there, those that nothing is known of yet as open.
func (g *Gateway) faultyUpstreams() []alert.Upstream {
	faults := []string{gate.Unreachable.String(), gate.Throttled.String(), gate.Account.String()}
	status := map[string]gate.Status{}
	for _, s := range g.deliverer.Status() {
		status[s.Name] = s
	}
	cfg := g.current.Load()
	list := make([]alert.Upstream, len(cfg.Upstreams))
	for i := range cfg.Upstreams {
		s := status[cfg.Upstreams[i].Name]
		closed := s.State != gate.Open.String() && slices.Contains(faults, s.Reason)
		list[i] = alert.Upstream{Name: cfg.Upstreams[i].Name, Closed: closed, Paused: s.Reason == gate.Paused.String(), Reason: s.Reason, Since: s.Since, Error: s.LastError}
	}
	return list
}

func (g *Gateway) queuedDepth(ctx context.Context) (alert.Depth, error) {
	depths, err := g.queue.Stats(ctx)
	d := depths[envelope.Queued]
	return alert.Depth{Count: d.Parts, Oldest: d.Oldest}, err
}

// whyFull returns why new mail is refused for want of space; nil: it is not.
func (g *Gateway) whyFull(ctx context.Context) error {
	draft, err := g.queue.New(ctx)
	if err == nil {
		err = draft.Discard()
	}
	if errors.Is(err, queue.ErrFull) {
		return err
	}
	return nil
}

// endings lists what somebody must see to before it ends.
func (g *Gateway) endings() (list []alert.Ending) {
	cfg, now := g.current.Load(), g.clock.Now()
	for i := range cfg.Upstreams {
		e, ok := cfg.Upstreams[i].Upstream.(upstream.Expiring)
		if !ok {
			continue
		}
		for _, x := range e.Expiries() {
			ending := alert.Ending{Owner: "upstream " + cfg.Upstreams[i].Name, What: x.Name, At: x.At}
			if x.Failure != nil {
				ending.Reason = x.Failure.Error()
			}
			if x.Failure != nil || x.EndsSoon(now) {
				list = append(list, ending)
			}
		}
	}
	for _, x := range certificates(cfg) {
		if x.EndsSoon(now) {
			list = append(list, alert.Ending{Owner: "listener " + x.listener, What: x.Name, At: x.At})
		}
	}
	return list
}

// listenerCertificate is the end of what a listener shows to its clients.
type listenerCertificate struct {
	listener string // its address
	upstream.Expiry
}

// certificates returns the ends of the certificates in the files of listeners and of [admin], as they are now. Those that are
// made here last, and a file that cannot be read is reported by who serves it.
func certificates(cfg *config.Config) (list []listenerCertificate) {
	add := func(address string, e *config.Encryption) {
		if e.CertFile == "" || e.TLS == "none" {
			return
		}
		if pair, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile); err == nil {
			list = append(list, listenerCertificate{address, upstream.Expiry{Name: "certificate", At: pair.Leaf.NotAfter}})
		}
	}
	for i := range cfg.Listeners {
		add(cfg.Listeners[i].Address, &cfg.Listeners[i].Encryption)
	}
	if cfg.Admin.Address != "off" {
		add(cfg.Admin.Address, &cfg.Admin.Encryption)
	}
	if cfg.TakesWebhooks() {
		add(cfg.Events.Address, &cfg.Events.Encryption)
	}
	return list
}

func (g *Gateway) drops() (alert.Drops, error) {
	w, err := g.maildrop(0)
	if err != nil {
		return alert.Drops{}, err
	}
	return alert.Drops{Depth: alert.Depth{Count: w.Count, Oldest: w.Oldest}, Refused: w.Refused}, nil
}

// testAlerts sends a test to the receivers of alerts.
func (g *Gateway) testAlerts(ctx context.Context, name string) ([]api.AlertTest, error) {
	results, err := g.alerts.Test(ctx, name)
	if err != nil {
		return nil, err
	}
	list := make([]api.AlertTest, len(results))
	for i, r := range results {
		list[i] = api.AlertTest{Name: r.Name, Receiver: r.Receiver, Answer: r.Answer, Millis: r.Took.Milliseconds()}
		if r.Err != nil {
			list[i].Error = r.Err.Error()
		}
	}
	return list, nil
}
