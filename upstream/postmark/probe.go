package postmark

import (
	"context"
	"encoding/json"
	"errors"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Account asks for the server, https://postmarkapp.com/developer/api/server-api
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/server", Header: []string{"Accept", "application/json"}})
	if err != nil {
		return nil, err
	}
	var got struct{ ID int64 }
	if a.Status == 200 && a.ReadErr == nil && json.Unmarshal(a.Body, &got) == nil && got.ID != 0 {
		return a, nil
	}
	if a.Status == 200 {
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from Postmark; check base_url")}
	}
	e, _ := api.Classify(a, problemOf(a), rules)
	return a, e
}

// Findings reads what the server does with mail, and asks for the stream.
func (p *provider) Findings(ctx context.Context, a *api.Answer, _ []string) []upstream.Finding {
	var server struct {
		Name, DeliveryType, TrackLinks string
		TrackOpens                     bool
	}
	_ = json.Unmarshal(a.Body, &server) // Account has read it
	list := []upstream.Finding{upstream.Finef("key", "valid, of the server %s", api.Line(server.Name))}
	if server.DeliveryType == "Sandbox" {
		list = append(list, upstream.Finding{Name: "sandbox", Level: upstream.Warn, Text: "the server is a sandbox: Postmark takes mail and delivers none",
			Hint: "take the token of a live server"})
	}
	if server.TrackOpens {
		list = append(list, upstream.Finding{Name: "tracking", Level: upstream.Warn, Text: "the server tracks opens, which a message cannot switch off",
			Hint: "switch it off in the settings of the server at Postmark"})
	}
	return append(list, p.streamFinding(ctx), upstream.Finef("domain", "a server token is not told which domains are verified"))
}

// streamFinding asks for message_stream, https://postmarkapp.com/developer/api/message-streams-api
func (p *provider) streamFinding(ctx context.Context) upstream.Finding {
	if p.stream == "" {
		return upstream.Finef("stream", "the server's default transactional stream")
	}
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/message-streams/" + p.stream, Header: []string{"Accept", "application/json"}})
	var got struct{ MessageStreamType string }
	switch {
	case err != nil:
		return upstream.Finding{Name: "stream", Level: upstream.Warn, Text: err.Error()}
	case a.Status != 200:
		return upstream.Finding{Name: "stream", Level: upstream.Fail, Text: "the server has no message stream " + p.stream + ": " + a.Words(problemOf(a)),
			Hint: "message_stream takes the id of a stream of this server"}
	case json.Unmarshal(a.Body, &got) == nil && got.MessageStreamType == "Inbound":
		return upstream.Finding{Name: "stream", Level: upstream.Fail, Text: "the message stream " + p.stream + " is one for inbound mail",
			Hint: "message_stream takes a transactional or a broadcast stream"}
	}
	return upstream.Finef("stream", "%s is there", p.stream)
}
