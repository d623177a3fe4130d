package sendgrid

import (
	"context"
	"encoding/json"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// hookEvents are the webhook's switches,
// https://www.twilio.com/docs/sendgrid/api-reference/webhooks/create-an-event-webhook
var hookEvents = []string{"delivered", "deferred", "bounce", "dropped", "spam_report", "unsubscribe", "group_unsubscribe"}

// hookReader reads settings, which is another right than reading messages.
func (f *feedback) hookReader() *events.Reader {
	r := *f.reader
	r.Scope = upstream.ScopeError{Scope: "user.webhooks.event.settings", Hint: "grant the key the permission Mail Settings / Event Notification, or set the webhook up by hand"}
	return &r
}

// hook returns the id of the webhook with this address.
func (f *feedback) hook(ctx context.Context, address string) (id string, missing []string, err error) {
	var got struct{ Webhooks []map[string]any }
	q := &api.Request{Method: "GET", Path: "/v3/user/webhooks/event/settings/all", Header: []string{"Accept", "application/json"}}
	if err := f.hookReader().Read(ctx, q, &got); err != nil {
		return "", nil, err
	}
	var found map[string]any
	for _, h := range got.Webhooks {
		if place, ok := h["url"].(string); ok && events.SameURL(place, address) {
			found = h
			id, _ = h["id"].(string)
		}
	}
	for _, name := range append([]string{"enabled"}, hookEvents...) {
		if on, _ := found[name].(bool); !on {
			missing = append(missing, name)
		}
	}
	return id, missing, nil
}

// Hook asks for the account's webhooks.
func (f *feedback) Hook(ctx context.Context, address string) upstream.Finding {
	_, missing, err := f.hook(ctx, address)
	return events.HookFinding(address, missing, err)
}

// SetHook makes a webhook, or corrects the one that is there, and has it signed.
func (f *feedback) SetHook(ctx context.Context, address string) (upstream.Secret, error) {
	id, _, err := f.hook(ctx, address)
	if err != nil {
		return upstream.Secret{}, err
	}
	hook := map[string]any{"enabled": true, "url": address, "friendly_name": "mailhatch"}
	for _, name := range hookEvents {
		hook[name] = true
	}
	const settings = "/v3/user/webhooks/event/settings"
	method, path := "POST", settings
	if id != "" {
		method, path = "PATCH", settings+"/"+url.PathEscape(id)
	}
	var made struct{ ID string }
	if err := f.change(ctx, method, path, hook, &made); err != nil {
		return upstream.Secret{}, err
	}
	if id == "" {
		id = made.ID
	}
	var signed struct {
		Key string `json:"public_key"`
	}
	err = f.change(ctx, "PATCH", settings+"/signed/"+url.PathEscape(id), map[string]any{"enabled": true}, &signed)
	return upstream.NewSecret(signed.Key), err
}

func (f *feedback) change(ctx context.Context, method, path string, body map[string]any, v any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	q := api.PostJSON(path, api.Payload{{Literal: raw}})
	q.Method = method
	return f.hookReader().Read(ctx, q, v)
}
