package events

import (
	"errors"
	"strings"

	"mailhatch/upstream"
)

// HookFinding is what it means that the provider lacks some events at an address.
func HookFinding(address string, missing []string, err error) upstream.Finding {
	f := upstream.Finding{Name: "webhook", Level: upstream.Warn}
	var scope *upstream.ScopeError
	switch {
	case errors.As(err, &scope):
		f.Text, f.Hint = "cannot be looked up: "+scope.Error(), scope.Hint
	case err != nil:
		f.Text = "cannot be looked up: " + err.Error()
	case len(missing) > 0:
		f.Text = "the provider does not send " + strings.Join(missing, ", ") + " to " + address
		f.Hint = "mailhatch events setup NAME --url " + address
	default:
		return upstream.Finef("webhook", "the provider sends its events to %s", address)
	}
	return f
}
