package gateway

import (
	"context"
	"errors"
	"fmt"

	"mailhatch/gateway/accept"
	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// carry returns why an upstream cannot carry a message of the queue, as far as it can tell; nil: it can.
func (g *Gateway) carry(ctx context.Context, name string, m *queue.Message, to []envelope.Recipient) error {
	u := g.current.Load().Upstream(name)
	if u == nil {
		return fmt.Errorf("there is no upstream %q", name)
	}
	body, err := g.queue.Body(ctx, m.ID)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	return accept.CanCarry(u, m.ID, &m.Envelope, body, to)
}

// resend accepts a message of the queue, or of the history while its bytes are kept, a second time.
func (g *Gateway) resend(ctx context.Context, id string, ask api.Resend, by string) (*api.Resent, error) {
	env, id, err := g.envelopeOf(ctx, id)
	if err != nil {
		return nil, err
	}
	body, err := g.queue.Body(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, fmt.Errorf("%w: the bytes of message %s are not kept any more: see keep_bodies of [queue]", queue.ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // only read
	if len(ask.To) > 0 {
		if env.To, err = addressed(g.current.Load(), env.To, ask.To); err != nil {
			return nil, admin.Unprocessable(err)
		}
	}
	again, to, err := g.accept.Again(ctx, env, body, ask.Via)
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code/100 == 5 {
		return nil, admin.Unprocessable(err)
	}
	if err != nil {
		return nil, err
	}
	err = g.queue.Note(ctx,
		queue.Event{ID: id, Kind: queue.EventResent, To: to, Upstream: ask.Via, By: by, Words: "as " + again},
		queue.Event{ID: again, Kind: queue.EventResent, To: to, Upstream: ask.Via, By: by, Words: "of " + id})
	if err != nil { // it is on its way all the same
		g.journal.InternalError("history", err)
	}
	return &api.Resent{ID: again, To: to}, nil
}

// envelopeOf returns the envelope of a message in the queue or in the history, and its id as the queue writes it.
func (g *Gateway) envelopeOf(ctx context.Context, id string) (*envelope.Envelope, string, error) {
	list, err := g.queue.List(ctx, queue.Filter{IDs: []string{id}}, queue.Page{})
	if err != nil {
		return nil, "", err
	}
	if len(list) > 0 {
		return &list[0].Envelope, list[0].ID, nil
	}
	m, err := g.queue.Finished(ctx, id)
	if err != nil {
		return nil, "", err
	}
	return &m.Envelope, m.ID, nil
}

// addressed returns recipients by their addresses: those of the message as they are, others as if they came by SMTP.
func addressed(cfg *config.Config, had []envelope.Recipient, wanted []string) (to []envelope.Recipient, err error) {
	for _, address := range wanted {
		known := false
		for _, r := range had {
			if mime.SameAddress(r.Address, address) {
				to, known = append(to, r), true
			}
		}
		if known {
			continue
		}
		path, err := mime.ParsePath(address, cfg.Identity.Domain)
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", address, err)
		}
		reached, ended := cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{{Address: path.String(), Given: path.Bare}})
		if len(ended) > 0 {
			return nil, fmt.Errorf("recipient %q: %s", address, ended[0].Why)
		}
		to = append(to, reached...)
	}
	return unique(to), nil
}

// unique returns recipients, each address once.
func unique(list []envelope.Recipient) (to []envelope.Recipient) {
	seen := map[string]bool{}
	for _, r := range list {
		if key := mime.AddressKey(r.Address); !seen[key] {
			seen[key] = true
			to = append(to, r)
		}
	}
	return to
}
