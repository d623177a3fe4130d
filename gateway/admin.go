package gateway

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/listen"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
	"mailhatch/upstream/local"
)

// adminServer shows and steers this gateway.
func (g *Gateway) adminServer() *admin.Server {
	return admin.New(admin.Config{
		Suppressed: g.suppressions(),
		Access:     g.access, Page: g.page, URL: g.pageURL, Refused: func(client string) {
			g.journal.Rejected(journal.Rejected{Stage: "admin-client", Reason: "not in allow of [admin]", Client: client, Listener: "admin"})
		},
		Maildrop: g.maildrop, Backup: g.backup,
		Check: g.check, TestAlerts: g.testAlerts, Recent: g.recent.Last,
		Queue: g.queue, Status: g.upstreamStatus, Why: g.waiting, Gateways: g.gateways, Steer: g.steerUpstream, Flush: g.deliverer.Flush, Reroute: g.deliverer.Reroute, Silent: g.silent, Ready: g.notReady, Reload: g.reloadNotes, Login: g.login, Memory: g.memory, Metrics: g.metrics,
		Carry: g.carry, Resend: g.resend, Acted: g.journal.Operator, Log: g.opts.Log, Hostname: func() string { return g.current.Load().Hostname }, Version: g.opts.Version, Started: g.started,
	})
}

// suppressions changes the addresses that get no mail.
func (g *Gateway) suppressions() *suppressed.Desk {
	return &suppressed.Desk{List: g.queue, Provider: g.suppressor, Acted: g.journal.Operator, Now: g.clock.Now,
		Keep: func() time.Duration { return g.current.Load().Suppression.Keep.Duration }}
}

// suppressor returns an upstream of the config whose provider has a list of addresses that get no mail.
func (g *Gateway) suppressor(name string) (upstream.Suppressor, error) {
	cfg := g.current.Load()
	u := cfg.Upstream(name)
	if u == nil {
		unknown := &api.UnknownUpstreamError{Name: name}
		for i := range cfg.Upstreams {
			unknown.Known = append(unknown.Known, cfg.Upstreams[i].Name)
		}
		return nil, &suppressed.BadRequestError{Words: unknown.Error()}
	}
	if s := upstream.SuppressorOf(u.Upstream); s != nil {
		return s, nil
	}
	return nil, &suppressed.BadRequestError{Words: fmt.Sprintf("the provider of %s shows no list of suppressed addresses: upstreams of type %s have none", name, u.Kind.Name)}
}

// adminEndpoints are admin.sock, the address of [admin] and that of health and metrics alone. Mail must flow without the
// socket, and without the default address.
func (g *Gateway) adminEndpoints(cfg *config.Config) []listen.Endpoint {
	list := []listen.Endpoint{{Name: "admin", Address: sock.Name, Optional: true,
		Server: func() (listen.Server, error) { return g.admin, nil },
		Bind:   func() ([]net.Listener, error) { return g.bindAdminSocket(cfg) }}}
	a := &cfg.Admin
	if a.Address != "off" {
		list = append(list, listen.Endpoint{Name: "admin", Address: a.Address, Optional: a.Address == config.DefaultAdmin,
			Settings: adminSettings{a.Encryption, a.Allow, cfg.Hostname},
			Server:   func() (listen.Server, error) { return g.adminDoor(cfg) },
			Bind:     bindTCP(a.Address)})
	}
	if a.Metrics != "" {
		list = append(list, listen.Endpoint{Name: "metrics", Address: a.Metrics,
			Server: func() (listen.Server, error) { return g.admin.At(admin.Door{Health: true}), nil },
			Bind:   bindTCP(a.Metrics)})
	}
	return list
}

func bindTCP(address string) func() ([]net.Listener, error) {
	return func() ([]net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
}

func (g *Gateway) bindAdminSocket(cfg *config.Config) ([]net.Listener, error) {
	if err := os.MkdirAll(cfg.RunDir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.RunDir, sock.Name)
	l, err := sock.Listen(path)
	if err != nil {
		return nil, err
	}
	if err := sock.Note(cfg.StateDir, path); err != nil {
		g.journal.InternalError("admin", err)
	}
	return []net.Listener{listen.Accounts(l)}, nil
}

// probeEvery limits how often the listeners are asked for their health.
const probeEvery = 5 * time.Second

// listenerHealth is what the listeners answered last.
type listenerHealth struct {
	mu     sync.Mutex
	at     time.Time
	silent []string
}

// silent names the listeners that do not answer. Before all are open, and once the gateway stops, it names none.
func (g *Gateway) silent() []string {
	if !g.ready.Load() {
		return nil
	}
	h := &g.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) >= probeEvery {
		h.silent = g.endpoints.Silent(context.Background())
		h.at = time.Now()
	}
	return slices.Clone(h.silent)
}

// notReady names what keeps the gateway from taking mail or from handing any on.
func (g *Gateway) notReady() []string {
	var list []string
	if !g.ready.Load() {
		list = append(list, "the listeners are not open")
	}
	list = append(list, g.silent()...)
	list = append(list, g.endpoints.Waiting()...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if away := g.whileAway(); away != "" {
		list = append(list, away)
	} else if draft, err := g.queue.New(ctx); err != nil {
		list = append(list, "new mail is refused: "+err.Error())
	} else {
		_ = draft.Discard()
	}
	closed := []string{}
	status := g.deliverer.Status()
	for _, s := range status {
		if s.State == "closed" {
			closed = append(closed, fmt.Sprintf("upstream %s is closed (%s)", s.Name, s.Reason)) // every account on this machine sees it: the provider's words may name somebody
		}
	}
	if len(closed) == len(status) { // as long as one works, mail finds a way or waits for its own
		list = append(list, closed...)
	}
	return list
}

func (g *Gateway) upstreamStatus() []api.Upstream {
	g.deliverer.Await(context.Background())
	cfg := g.current.Load()
	heard := map[string]*api.Hearing{}
	for _, s := range g.feedback.Status() {
		heard[s.Name] = &api.Hearing{Mode: s.Mode, Every: s.Every.Seconds(), Heard: s.Heard, Polled: s.Polled, Next: s.Next, Idle: s.Idle, Error: s.Error,
			Since: s.Since, Scope: s.Scope, Count: s.Joined}
	}
	stopped, _ := g.canaries.Failing()
	var list []api.Upstream
	for _, s := range g.deliverer.Status() {
		u := api.Upstream{Name: s.Name, State: s.State, Reason: s.Reason, Since: s.Since, LastError: s.LastError,
			NextProbe: s.NextProbe, InFlight: s.InFlight, MaxConcurrent: s.MaxConcurrent, Rate: s.Rate, NextAt: s.NextToken, Why: waiting.Upstream(&s), FailedAt: s.Tried, Events: heard[s.Name]}
		if s.Pause != nil {
			u.PausedBy = s.Pause.By
		}
		if f, ok := stopped[s.Name]; ok {
			u.Canary = &api.Stopped{Since: f.Since, ID: f.ID, Why: canaryText(s.Name, &f)}
			if f.Words != "" {
				u.Canary.Why += ": " + f.Words
			}
		}
		for _, r := range s.Refused {
			u.Refuses = append(u.Refuses, api.Refused{From: r.From, Error: r.Error(), Since: r.Since, Tried: r.Tried, Next: r.Until})
		}
		for _, q := range s.Quota {
			u.Quota = append(u.Quota, api.Quota{Limit: q.Limit.String(), Left: q.Left, Until: q.Until})
		}
		if k := cfg.Upstream(s.Name); k != nil {
			u.Kind, u.Expiries = k.Kind.Name, expiries(k)
		}
		list = append(list, u)
	}
	return list
}

// steerUpstream pauses, resumes or probes an upstream.
func (g *Gateway) steerUpstream(ctx context.Context, name string, a api.UpstreamAction, by string) error {
	g.deliverer.Await(ctx)
	cfg := g.current.Load() // delivery follows it in a moment
	known := cfg.Upstream(name) != nil
	if !known && a == api.Resume { // what was paused may have left the config
		paused, err := g.queue.Paused(ctx)
		if err != nil {
			return err
		}
		_, known = paused[name]
	}
	if !known {
		unknown := &api.UnknownUpstreamError{Name: name}
		for i := range cfg.Upstreams {
			unknown.Known = append(unknown.Known, cfg.Upstreams[i].Name)
		}
		return unknown
	}
	switch a {
	case api.Pause:
		return g.deliverer.Pause(ctx, name, by)
	case api.Resume:
		return g.deliverer.Resume(ctx, name, by)
	}
	for _, s := range g.deliverer.Status() {
		if s.Name == name && (s.Pause != nil || s.State == gate.Closed.String() && s.Reason == gate.Quota.String()) {
			return fmt.Errorf("%w: %s", admin.ErrNotProbed, waiting.Upstream(&s))
		}
	}
	g.deliverer.Retry(name)
	return nil
}

// waiting tells why each of these messages waits.
func (g *Gateway) waiting(ctx context.Context, list []queue.Message) (*waiting.View, error) {
	g.deliverer.Await(ctx)
	v := g.deliverer.View()
	return v, v.Complete(ctx, g.queue, list)
}

// login lets a person log in to an upstream, whose mail goes at once then.
func (g *Gateway) login(ctx context.Context, name string, show func(upstream.LoginCode)) error {
	u, err := g.current.Load().Loginer(name)
	if err != nil {
		return err
	}
	if err := u.Login(ctx, show); err != nil {
		return err
	}
	g.journal.LoggedIn(name)
	g.deliverer.Retry(name)
	return nil
}

// memory returns the mail that an upstream of type memory has received.
func (g *Gateway) memory(name string) ([]api.Kept, bool) {
	u := g.current.Load().Upstream(name)
	if u == nil {
		return nil, false
	}
	m, ok := u.Upstream.(*local.Memory)
	if !ok {
		return nil, false
	}
	list := []api.Kept{}
	for _, msg := range m.Messages() {
		k := api.Kept{ID: msg.ID, Time: msg.Time, From: msg.From, Source: string(msg.Source), Cut: msg.Cut}
		if !utf8.Valid(msg.Source) {
			k.Raw = msg.Source
		}
		for _, to := range msg.To {
			k.To = append(k.To, to.Address)
		}
		list = append(list, k)
	}
	return list, true
}
