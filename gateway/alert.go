package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/alert"
	"mailhatch/gateway/canary"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// alertWatcher tells operators what needs them.
func (g *Gateway) alertWatcher() *alert.Watcher {
	cfg := g.current.Load()
	var fleet *alert.Fleet
	if g.fleet != nil {
		fleet = &alert.Fleet{Name: g.fleet.Name(), Store: g.queue.Fleet(), Alone: g.fleet.Alone}
	}
	w := alert.New(alert.Config{
		Upstreams: g.faultyUpstreams, Queue: g.queuedDepth, Full: g.whyFull, Database: g.slowDatabase, Endings: g.endings, Maildrop: g.drops, Canaries: g.stoppedCanaries,
		Away:    g.whileAway,
		Healthy: func() bool { return len(g.notReady()) == 0 },
		Now:     g.clock.Now, Journal: g.journal, Outbox: g.queue, Fleet: fleet, Dir: cfg.StateDir, Version: g.opts.Version,
	})
	w.Follow(cfg.Alerts, cfg.Hostname)
	return w
}

// faultyUpstreams says which upstreams are closed by a fault, for all senders or some: a quota of the config, and what an operator has paused,
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
		if s.State == gate.Open.String() && len(s.Refused) > 0 {
			r := &s.Refused[0]
			list[i] = alert.Upstream{Name: s.Name, Closed: true, Reason: "sender", Since: r.Since, Error: r.Error(), Refuses: refusedSenders(s.Refused)}
			continue
		}
		list[i] = alert.Upstream{Name: cfg.Upstreams[i].Name, Closed: closed, Paused: s.Reason == gate.Paused.String(), Reason: s.Reason, Since: s.Since, Error: s.LastError}
	}
	return list
}

// refusedSenders says whose mail an upstream refuses, naming domains alone.
func refusedSenders(refused []gate.Refused) string {
	local, domain, _ := strings.Cut(refused[0].From, "@")
	who := "an address of " + domain
	if local == "*" {
		who = "all of " + domain
	}
	if more := len(refused) - 1; more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	return who
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

// slowDatabase returns what slows down the database of a shared queue.
func (g *Gateway) slowDatabase(ctx context.Context) ([]string, error) {
	h, err := g.queue.Health(ctx)
	if err != nil || h.Database == nil {
		return nil, err
	}
	return h.Database.Slow, nil
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

// canaryKeeper sends canaries through upstreams and looks after them.
func (g *Gateway) canaryKeeper(cfg *config.Config) *canary.Keeper {
	t := canary.Tools{Store: g.queue, Memory: canary.File(cfg.StateDir), Why: g.whyWaits, Excused: g.restsByWish, Clock: g.clock, Journal: g.journal,
		Submit: func(ctx context.Context, m *canary.Mail) (string, error) {
			return g.accept.Canary(ctx, m.From, m.To, m.Upstream, m.Message)
		}}
	if g.fleet != nil {
		t.Memory, t.Alone = canary.Notes(g.queue.Fleet()), g.fleet.Alone
	}
	return canary.New(t, canariesOf(cfg))
}

// canariesOf translates a config for the keeper of canaries; nil: it wants none.
func canariesOf(cfg *config.Config) *canary.Config {
	s := &cfg.Canary
	if !s.IsOn() {
		return nil
	}
	c := &canary.Config{Every: s.Every.Duration, Within: s.Within.Duration, From: s.From, To: s.To, Hostname: cfg.Hostname}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		if !slices.Contains(s.Upstreams, u.Name) {
			continue
		}
		f, ok := u.Upstream.(upstream.Feedback)
		c.Upstreams = append(c.Upstreams, canary.Upstream{Name: u.Name, Confirms: ok && !f.Listening().Off() && !f.Listening().Bounces})
	}
	return c
}

// whyWaits says why a message is in the queue, without times, which are soon past.
func (g *Gateway) whyWaits(ctx context.Context, m *queue.Message) string {
	p := &m.Parts[0]
	for _, s := range g.deliverer.Status() {
		if s.Name == p.Lane && s.State != gate.Open.String() {
			words := fmt.Sprintf("%s is %s (%s)", s.Name, s.State, s.Reason)
			if s.LastError != "" {
				words += ": " + s.LastError
			}
			return words
		}
	}
	if p.Progress.Error != "" {
		return p.Progress.Error
	}
	view, err := g.waiting(ctx, []queue.Message{*m})
	if err != nil {
		return ""
	}
	why := view.Of(m, p)
	return why.Words
}

// restsByWish reports whether an upstream takes no mail because an operator has paused it or a quota of the config is used up.
func (g *Gateway) restsByWish(name string) bool {
	return slices.ContainsFunc(g.deliverer.Status(), func(s gate.Status) bool {
		return s.Name == name && (s.Reason == gate.Paused.String() || s.Reason == gate.Quota.String())
	})
}

// stoppedCanaries puts into words where canaries stop.
func (g *Gateway) stoppedCanaries() (list []alert.Stopped, known bool) {
	faults, known := g.canaries.Failing()
	for name, f := range faults {
		list = append(list, alert.Stopped{Upstream: name, Text: canaryText(name, &f), Error: f.Words, Since: f.Since})
	}
	return list, known
}

func canaryText(name string, f *canary.Fault) string {
	switch f.Stage {
	case canary.StageQueue:
		return fmt.Sprintf("the canary through %s was not accepted into the queue", name)
	case canary.StageWaiting:
		return fmt.Sprintf("the canary through %s waits in the queue", name)
	case canary.StageRefused:
		return fmt.Sprintf("%s has refused the canary", name)
	case canary.StageBounced:
		return fmt.Sprintf("%s has sent the canary, and it bounced", name)
	case canary.StageElsewhere:
		return fmt.Sprintf("%s cannot carry the canary", name)
	}
	return fmt.Sprintf("%s has taken the canary, but no delivery was reported", name)
}
