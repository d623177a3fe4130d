package route

import "slices"

// Len is the number of rules.
func (t *Table) Len() int { return len(t.rules) }

// Alternatives reports whether some rule names another upstream beside this one.
func (t *Table) Alternatives(upstream string) bool {
	return slices.ContainsFunc(t.rules, func(r rule) bool {
		if len(r.balance) > 1 {
			return slices.ContainsFunc(r.balance, func(w weight) bool { return w.name == upstream })
		}
		return len(r.via) > 1 && slices.Contains(r.via, upstream)
	})
}
