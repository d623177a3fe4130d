package events

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"mailhatch/upstream"
)

// HookFinding is what it means that the provider lacks some events at an address.
func HookFinding(address string, missing []string, err error) upstream.Finding {
	f := upstream.Finding{Name: "webhook", Level: upstream.Warn}
	address = upstream.RedactURL(address)
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

// Webhook is one that a provider has.
type Webhook struct {
	ID     Text
	URL    string
	Events []string // that it sends
}

// FindHook returns the id of the webhook at an address, "" where there is none, and which events it lacks.
func FindHook(list []Webhook, address string, wanted []string) (id string, missing []string) {
	var has []string
	for _, h := range list {
		if SameURL(h.URL, address) {
			id, has = string(h.ID), h.Events
		}
	}
	for _, name := range wanted {
		if !slices.Contains(has, name) {
			missing = append(missing, name)
		}
	}
	return id, missing
}

// SameURL reports whether two addresses are the same place, whoever is named in them.
func SameURL(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && strings.EqualFold(u.Host, v.Host) && u.Path == v.Path && u.Scheme == v.Scheme && u.RawQuery == v.RawQuery
}
