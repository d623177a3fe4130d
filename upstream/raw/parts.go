package raw

import (
	"errors"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Told is what an answer that tells recipients apart says of each.
type Told map[string]api.Part

// Add notes what the answer says of an address.
func (t Told) Add(address string, p api.Part) { t[mime.AddressKey(address)] = p }

// Parts returns what the answer means for the recipients of a call. One of whom it does not speak may have been taken.
func (t Told) Parts(c *api.Call, status int) []api.Part {
	parts := make([]api.Part, len(c.Keys))
	for i, key := range c.Keys {
		p, ok := t[key]
		if !ok {
			p.Err = &upstream.Error{Class: upstream.Uncertain, Status: status,
				Err: errors.New("the provider took the message and does not say what became of this recipient, who may be suppressed there")}
		}
		parts[i] = p
	}
	return parts
}
