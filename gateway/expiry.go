package gateway

import (
	"context"
	"maps"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

const (
	expiryEvery = time.Minute
	tellEvery   = 24 * time.Hour
)

// expiries returns when what an upstream logs in with ends.
func expiries(u *config.Upstream) (list []api.Expiry) {
	e, ok := u.Upstream.(upstream.Expiring)
	if !ok {
		return nil
	}
	for _, x := range e.Expiries() {
		shown := api.Expiry{Name: x.Name, Since: x.Since, At: x.At, Renewed: x.Renewed}
		if x.Failure != nil {
			shown.Error = x.Failure.Error()
		}
		list = append(list, shown)
	}
	return list
}

// watchExpiries tells the operator of what ends and is not renewed.
func (g *Gateway) watchExpiries(ctx context.Context) error {
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	told := map[credential]time.Time{}
	for {
		g.tellExpiries(told, g.clock.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// credential is what an upstream logs in with, or a listener shows.
type credential struct{ upstream, name string }

// tellExpiries writes once a day what is wrong with each credential, and at once when it is so anew. told holds when it
// was written.
func (g *Gateway) tellExpiries(told map[credential]time.Time, now time.Time) {
	bad := map[credential]bool{}
	cfg := g.current.Load()
	for i := range cfg.Upstreams {
		e, ok := cfg.Upstreams[i].Upstream.(upstream.Expiring)
		if !ok {
			continue
		}
		for _, x := range e.Expiries() {
			c := credential{cfg.Upstreams[i].Name, x.Name}
			bad[c] = x.Failure != nil || x.EndsSoon(now)
			if last, ok := told[c]; !bad[c] || ok && now.Sub(last) < tellEvery {
				continue
			}
			told[c] = now
			if x.Failure != nil {
				g.journal.NotRenewed(c.upstream, c.name, x.Failure, x.At)
			} else {
				g.journal.Expiring(c.upstream, c.name, x.At)
			}
		}
	}
	for _, x := range certificates(cfg) {
		c := credential{"listener " + x.listener, x.Name}
		bad[c] = x.EndsSoon(now)
		if last, ok := told[c]; bad[c] && (!ok || now.Sub(last) >= tellEvery) {
			told[c] = now
			g.journal.ListenerExpiring(x.listener, x.Name, x.At)
		}
	}
	maps.DeleteFunc(told, func(c credential, _ time.Time) bool { return !bad[c] })
}
