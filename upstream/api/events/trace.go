package events

import (
	"strings"

	"mailhatch/upstream"
)

// Traces are the provider's ids of one mail, by recipient.
type Traces map[string]string

// Add notes an id.
func (t Traces) Add(recipient, id string) { t[strings.ToLower(recipient)] = id }

// Of returns what there is of each recipient of a mail, in their order.
func (t Traces) Of(m *upstream.Mail) []upstream.Traced {
	found := make([]upstream.Traced, len(m.To))
	for i, rcpt := range m.To {
		id, ok := t[strings.ToLower(rcpt.Address)]
		found[i] = upstream.Traced{Found: ok, ID: id}
	}
	return found
}
