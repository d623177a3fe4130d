package route

import (
	"fmt"
	"slices"
	"strings"
)

// Description is a rule as people read it.
type Description struct {
	Name       string   // as in Decision
	Conditions []string // all of them hold where it decides; none: always
	Action     string   // "via main, then relay", "reject 550 5.7.1 no", "hold", "discard", "balance main 3, relay 1"
	Hits       int      // recipients that it has decided about at acceptance, see Accepted
}

// Describe returns the rules in their order.
func (t *Table) Describe() []Description {
	list := make([]Description, len(t.rules))
	for i := range t.rules {
		r := &t.rules[i]
		d := Description{Name: r.name, Action: r.told(), Hits: int(t.hits[i].Load())}
		for _, c := range slices.Concat(r.early, r.late) {
			d.Conditions = append(d.Conditions, c.text())
		}
		list[i] = d
	}
	return list
}

// told is what a rule does.
func (r *rule) told() string {
	switch {
	case r.action == Reject:
		return "reject " + r.reply.Error()
	case len(r.balance) > 0:
		shares := make([]string, len(r.balance))
		for i, w := range r.balance {
			shares[i] = fmt.Sprintf("%s %g", w.name, w.weight)
		}
		return "balance " + strings.Join(shares, ", ")
	case r.action == Deliver:
		return "via " + strings.Join(r.via, ", then ")
	}
	return r.action.String()
}

// Accepted counts that a decision of Decide was followed when mail was accepted.
func (t *Table) Accepted(d *Decision) {
	if d.Rule >= 0 && d.Rule < len(t.hits) {
		t.hits[d.Rule].Add(1)
	}
}
