package route

import (
	"fmt"
	"slices"
)

// Verdict reports for one rule whether it matched, and why.
type Verdict struct {
	Rule    int      `json:"rule"`          // index in the table
	Name    string   `json:"name"`          // as in Decision
	Matched bool     `json:"matched"`       // of routes: this rule decides
	Why     []string `json:"why,omitempty"` // the conditions that failed; of the rule that matched, those that hold; may be empty
}

// Explain returns the decision and a verdict for each rule up to the one that decides.
func (t *Table) Explain(in *Input) ([]Verdict, Decision) {
	var verdicts []Verdict
	for i := range t.rules {
		r := &t.rules[i]
		v := Verdict{Rule: i, Name: r.name}
		v.Matched = !r.passedOver(in) && r.holds(in)
		if r.passedOver(in) {
			v.Why = []string{"it holds mail, and this mail was released"}
		}
		v.Why = append(v.Why, r.explain(in, v.Matched)...)
		verdicts = append(verdicts, v)
		if v.Matched {
			return verdicts, r.decide(in)
		}
	}
	return verdicts, unrouted()
}

// RewriteVerdict reports for one rewrite rule whether it matched, and why, and what it changed.
type RewriteVerdict struct {
	Verdict          // its Name is "rewrite 3" (counted from 1) for a rule without a name
	Changes []string `json:"changes,omitempty"` // in words
}

// Explain does what Apply does and reports on each rule.
func (t *Rewrites) Explain(m *Mail) ([]RewriteVerdict, error) {
	var verdicts []RewriteVerdict
	for i := range t.rules {
		r := &t.rules[i]
		w, err := r.work(m)
		if err != nil {
			return verdicts, err
		}
		v := RewriteVerdict{Verdict: Verdict{Rule: i, Name: r.name, Matched: slices.Contains(w.matched, true)}}
		v.Why = w.why(v.Matched)
		if v.Matched {
			w.do()
			v.Changes = w.changes
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// why returns the conditions that decided. Of a message that matched, to is explained for its recipients.
func (w *work) why(matched bool) []string {
	why := w.rule.explain(w.in, matched)
	if w.rule.to == nil {
		return why
	}
	const most = 3
	explained := 0
	for _, rcpt := range w.m.Envelope.To {
		w.in.To = rcpt.Address
		if w.rule.to.holds(w.in) != matched {
			continue
		}
		if explained++; explained <= most {
			why = append(why, w.rule.to.explain(w.in))
		}
	}
	if explained > most {
		why = append(why, fmt.Sprintf("and so for %d further recipients", explained-most))
	}
	return why
}
