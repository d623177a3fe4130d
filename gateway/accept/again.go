package accept

import (
	"context"
	"fmt"
	"io"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// CanCarry returns why an upstream cannot carry a message that is stored, as far as it can tell; nil: it can.
func CanCarry(u *config.Upstream, id string, env *envelope.Envelope, body queue.Body, to []envelope.Recipient) error {
	if _, ok := u.Upstream.(upstream.Preflighter); !ok {
		return nil
	}
	msg, err := mime.Parse(body)
	if err != nil {
		return err
	}
	return Unfit(u, id, env, msg, to)
}

// Again accepts a message that was stored before a second time, as it is, under a new id: for the recipients of env, by
// the routes or, with via, by that upstream whatever they say. New recipients follow aliases, as all do.
func (a *Acceptor) Again(ctx context.Context, env *envelope.Envelope, body queue.Body, via string) (id string, to []string, err error) {
	header, err := mime.HeaderSize(body)
	if err != nil {
		return "", nil, err
	}
	draft, err := a.Queue.New(ctx)
	if err != nil {
		return "", nil, a.storeReply(err)
	}
	in := &incoming{cfg: a.Config(), env: *env, id: draft.ID(), draft: draft}
	defer in.close()
	in.env.Received = a.Clock.Now()
	if err := a.store(draft, io.NewSectionReader(body, 0, body.Size())); err != nil {
		return "", nil, err
	}
	if err := a.parse(ctx, in, int(header)); err != nil {
		return "", nil, err
	}
	parts, err := a.partsAgain(ctx, in, via)
	if err != nil {
		return "", nil, err
	}
	start := time.Now()
	if err := draft.Commit(ctx, in.kept(parts, nil)); err != nil {
		return "", nil, a.storeReply(err)
	}
	a.accepted(in, time.Since(start))
	for _, r := range in.env.To {
		to = append(to, r.Address)
	}
	return in.id, to, nil
}

func (a *Acceptor) partsAgain(ctx context.Context, in *incoming, via string) ([]queue.Part, error) {
	if via == "" {
		return a.parts(ctx, in)
	}
	u := in.cfg.Upstream(via)
	if u == nil {
		return nil, fmt.Errorf("no upstream %q", via)
	}
	if p, ok := u.Upstream.(upstream.Preflighter); ok {
		if err := in.judge(u, p, in.env.To); err != nil {
			return nil, err
		}
	}
	var to []string
	for _, r := range in.env.To {
		to = append(to, r.Address)
	}
	if in.env.Client.Listener != envelope.CanaryListener { // which is to find out
		for _, reply := range a.refusals(ctx, in.env.From, to...) {
			return nil, reply // an operator lifts it first
		}
	}
	return []queue.Part{{To: in.env.To, Lane: via, State: envelope.Queued, Progress: envelope.Progress{Moved: via}}}, nil
}
