package deliver

import (
	"slices"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
	"mailhatch/upstream"
)

// destination is where a recipient goes.
type destination struct {
	action   route.Action
	upstream string // Deliver; "" when no upstream can carry the message
	decision route.Decision
	unrouted bool // no rule matches now: the config's fault, not the mail's
}

// find returns the destination of a recipient by its decision and its progress. probe names the upstream
// that the mail was claimed for to try its gate, "" for none.
func (g *generation) find(d route.Decision, p *envelope.Progress, probe string) destination {
	dest := destination{action: d.Action, decision: d, unrouted: d.Rule < 0}
	if p.Uncertain && g.cfg.Policy.OnUncertain != "failover" {
		// It may have been taken: no rule and no failover sends it elsewhere.
		l := g.lanes[p.Upstream]
		switch {
		case l != nil && (p.Released || !l.mayDouble(p)):
			dest.action, dest.upstream, dest.unrouted = route.Deliver, p.Upstream, false
			return dest
		case !p.Released:
			dest.action, dest.unrouted = route.Hold, false
			return dest
		}
	}
	if d.Action == route.Deliver {
		dest.upstream = g.choose(d.Via, p, probe)
	}
	return dest
}

// mayDouble reports whether on_uncertain forbids another offer: its provider would not recognise it as a
// repeated one.
func (l *lane) mayDouble(p *envelope.Progress) bool {
	keyed := l.keyValidity()
	return l.gen.cfg.Policy.OnUncertain == "hold" && (keyed == 0 || l.gen.cfg.Clock.Since(p.Since) >= keyed)
}

// keyValidity returns for how long the upstream's provider recognises a repeated offer; 0: it does not.
func (l *lane) keyValidity() time.Duration {
	if keyed, ok := l.upstream.Upstream.(upstream.Idempotent); ok {
		return keyed.KeyValidity()
	}
	return 0
}

// choose returns the first upstream of via that can carry the message, was not passed and is usable;
// if none is usable the first to wait for; if all were passed the round begins anew.
func (g *generation) choose(via []string, p *envelope.Progress, probe string) string {
	fit := make([]string, 0, len(via))
	for _, name := range via {
		if g.lanes[name] != nil && !slices.Contains(p.Unfit, name) {
			fit = append(fit, name)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	fresh := slices.DeleteFunc(slices.Clone(fit), func(name string) bool { return slices.Contains(p.Passed, name) })
	if len(fresh) == 0 {
		fresh = fit
		p.Passed = nil
	}
	for _, list := range [][]string{fresh, fit} {
		for _, name := range list {
			if name == probe || g.lanes[name].gate.Usable() {
				return name
			}
		}
	}
	return fresh[0]
}
