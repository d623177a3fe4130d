package mailq

import (
	"regexp"
	"slices"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
)

// asGiven shows recipients as the account has written them: where an alias leads, and what a rule has made of an address,
// is not for everybody, in the words of providers either. Those that one alias stands for are one.
func asGiven(m *api.Message) {
	m.Envelope.To = given(m.Envelope.To)
	for i := range m.Parts {
		p := &m.Parts[i]
		for _, to := range p.To {
			if to.Given != "" && to.Address != "" {
				address := regexp.MustCompile(`(?i)` + regexp.QuoteMeta(to.Address))
				p.Progress.Error = address.ReplaceAllLiteralString(p.Progress.Error, to.Given)
				p.Why = address.ReplaceAllLiteralString(p.Why, to.Given)
			}
		}
		p.To = given(p.To)
	}
}

func given(list []envelope.Recipient) []envelope.Recipient {
	var out []envelope.Recipient
	for _, to := range list {
		if to.Given != "" {
			to.Address, to.Given, to.ORcpt = to.Given, "", ""
		}
		if !slices.ContainsFunc(out, func(o envelope.Recipient) bool { return o.Address == to.Address }) {
			out = append(out, to)
		}
	}
	return out
}
