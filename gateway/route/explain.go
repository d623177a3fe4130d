package route

// Verdict reports for one rule why it decided or why it did not.
type Verdict struct {
	Rule    int      `json:"rule"`          // index in the table
	Name    string   `json:"name"`          // as in Decision
	Matched bool     `json:"matched"`       // this rule decides
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
		for _, list := range [][]condition{r.early, r.late} {
			for _, c := range list {
				if c.holds(in) == v.Matched {
					v.Why = append(v.Why, c.explain(in))
				}
			}
		}
		verdicts = append(verdicts, v)
		if v.Matched {
			return verdicts, r.decide(in)
		}
	}
	return verdicts, unrouted()
}
