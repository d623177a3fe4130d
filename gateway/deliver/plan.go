package deliver

import (
	"slices"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
)

// way is where a recipient goes now.
type way struct {
	action   route.Action
	upstream string // Deliver; "" when no upstream can carry the message
	decision route.Decision
	ours     bool // no rule matches now: our config's trouble, not the mail's
}

// find chooses the way of a recipient by its decision and its progress.
func (g *generation) find(d route.Decision, p *envelope.Progress) way {
	w := way{action: d.Action, decision: d, ours: d.Rule < 0}
	if p.Uncertain && g.lanes[p.Upstream] != nil && g.cfg.Policy.OnUncertain != "failover" {
		// It may have been taken: no rule and no failover sends it elsewhere.
		w.action, w.upstream, w.ours = route.Deliver, p.Upstream, false
		return w
	}
	if d.Action == route.Deliver {
		w.upstream = g.choose(d.Via, p)
	}
	return w
}

// choose gives the first upstream of via that can carry the message, was not passed and is usable;
// if none is usable the first to wait for; if all were passed the round begins anew.
func (g *generation) choose(via []string, p *envelope.Progress) string {
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
			if g.lanes[name].gate.usable() {
				return name
			}
		}
	}
	return fresh[0]
}
