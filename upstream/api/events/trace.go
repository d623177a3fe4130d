package events

import (
	"fmt"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
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

// TraceEach asks a log about one recipient of a mail after the other, if there are not too many.
func TraceEach(m *upstream.Mail, most int, log string, one func(recipient string) (upstream.Traced, error)) ([]upstream.Traced, error) {
	if len(m.To) > most {
		return nil, api.Errorf(upstream.Unrepresentable, "", "%s is not asked about more than %d recipients of a mail", log, most)
	}
	found := make([]upstream.Traced, len(m.To))
	for i, rcpt := range m.To {
		var err error
		if found[i], err = one(rcpt.Address); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Bounds of log_delay.
const (
	leastDelay = time.Second
	mostDelay  = 24 * time.Hour
)

// CheckLogDelay returns a *KeyError where the setting log_delay, how late a provider's log may be, is out of bounds.
func CheckLogDelay(d upstream.Duration) error {
	if d.Duration < leastDelay || d.Duration > mostDelay {
		return &upstream.KeyError{Key: "log_delay", Problem: fmt.Sprintf(`must be from "1s" to "1d", not %q`, d.Duration), Hint: "leave it out: the default is what the provider's documents suggest"}
	}
	return nil
}
