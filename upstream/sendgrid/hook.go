package sendgrid

import (
	"context"
	"net/url"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

// hookEvents are the webhook's switches,
// https://www.twilio.com/docs/sendgrid/api-reference/webhooks/create-an-event-webhook
var hookEvents = []string{"delivered", "deferred", "bounce", "dropped", "spam_report", "unsubscribe", "group_unsubscribe"}

const hookPath = "/v3/user/webhooks/event/settings"

// hookReader reads settings, which is another right than reading messages.
func (f *feedback) hookReader() *events.Reader {
	return f.reader.With(upstream.ScopeError{Scope: "user.webhooks.event.settings", Hint: "grant the key the permission Mail Settings / Event Notification, or set the webhook up by hand"})
}

// hook returns the id of the webhook with this address.
func (f *feedback) hook(ctx context.Context, address string) (id string, missing []string, err error) {
	var got struct{ Webhooks []map[string]any }
	if err := f.hookReader().Read(ctx, events.Get(hookPath+"/all"), &got); err != nil {
		return "", nil, err
	}
	var list []events.Webhook
	for _, h := range got.Webhooks {
		var w events.Webhook
		w.URL, _ = h["url"].(string)
		id, _ := h["id"].(string)
		w.ID = events.Text(id)
		for name, value := range h {
			if value == true {
				w.Events = append(w.Events, name)
			}
		}
		list = append(list, w)
	}
	id, missing = events.FindHook(list, address, append([]string{"enabled"}, hookEvents...))
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
	method, path := "POST", hookPath
	if id != "" {
		method, path = "PATCH", hookPath+"/"+url.PathEscape(id)
	}
	var made struct{ ID string }
	if err := f.hookReader().Write(ctx, method, path, hook, &made); err != nil {
		return upstream.Secret{}, err
	}
	if id == "" {
		id = made.ID
	}
	var signed struct {
		Key string `json:"public_key"`
	}
	err = f.hookReader().Write(ctx, "PATCH", hookPath+"/signed/"+url.PathEscape(id), map[string]any{"enabled": true}, &signed)
	return upstream.NewSecret(signed.Key), err
}
