// Package postbox is a kind of upstream that nobody has: the test of how little a new kind takes.
package postbox

import (
	"context"
	"encoding/json"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Kind is Postbox.
func Kind() upstream.Kind {
	return upstream.Kind{
		Name: "postbox", Doc: "Postbox's API (JSON)", Changes: changes(),
		Traits: upstream.Traits{Apart: true, Bcc: upstream.BccRequest, Recipients: 10, Bytes: 1 << 20, Later: "nothing"},
		New:    func() upstream.Settings { return &settings{Settings: api.Defaults()} },
		Setup: []upstream.Question{
			{Key: "box", Text: "Which box?", Flag: "box", Usage: "`name` of the box"},
			api.KeyQuestion("POSTBOX_KEY"),
		},
	}
}

func changes() []string { return append(api.JSONChanges(), "the postbox is painted red") }

type settings struct {
	api.Settings
	APIKey upstream.Secret `toml:"api_key"`
	Box    string          `toml:"box"`
}

// Open makes the upstream.
func (s *settings) Open(env upstream.Env) (upstream.Upstream, error) {
	client, err := api.Open(env, s.Settings, api.Service{URL: "https://postbox.invalid", KeyHint: "ask for one",
		Recipients: 10, Bytes: 1 << 20, Changes: changes()}, api.Bearer(s.APIKey))
	if s.Box == "" {
		err = errors.Join(err, &upstream.KeyError{Key: "box", Problem: "is missing"})
	}
	if err != nil {
		return nil, err
	}
	return api.New(client, &provider{client, s.Box}), nil
}

type provider struct {
	client *api.Client
	box    string
}

func (p *provider) Refuses(m *upstream.Mail) (*upstream.Error, bool) {
	return api.Refuses(m, false), true
}

func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	msg, err := api.ReadMessage(m, api.Form{}, false)
	if err != nil {
		return nil, err
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		var j api.Object
		j.Field("from", api.FormatMailbox(msg.From))
		j.Field("to", api.FormatMailboxes(append(append(c.To, c.Cc...), c.Bcc...)))
		j.Field("text", msg.Text)
		return &api.Request{Method: "POST", Path: "/" + p.box, Body: j.End()}, nil
	}, nil
}

func (p *provider) Interpret(a *api.Answer, _ *api.Call) api.Verdict {
	var ok struct{ ID string }
	if a.Status == 200 && json.Unmarshal(a.Body, &ok) == nil {
		return api.Verdict{ID: ok.ID}
	}
	err, _ := api.Classify(a, api.Problem{}, nil)
	return api.Verdict{Err: err}
}

func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/" + p.box})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (p *provider) Findings(context.Context, *api.Answer, []string) []upstream.Finding {
	return []upstream.Finding{upstream.Finef("key", "opens box %s", p.box)}
}
