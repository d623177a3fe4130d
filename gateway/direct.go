package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/smtpd"
	"mailhatch/upstream"
)

// directTime bounds a direct delivery: below the 10 minutes that clients wait for the reply to the
// final dot (RFC 5321 4.5.3.2.6), and below the 60 s that many legacy ones really wait.
const directTime = 55 * time.Second

// acceptDirect offers a message at once; what the upstream says is the client's answer. Only when it
// took some recipients and not others the rest is queued, for SMTP has no reply for that.
func (g *Gateway) acceptDirect(ctx context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error) {
	in, err := g.receive(ctx, g.current.Load(), env, body)
	if err != nil {
		return "", "", err
	}
	defer in.draft.Discard() //nolint:errcheck // what is left of it goes at the next start
	parts, _, err := g.parts(in)
	if err != nil {
		return "", "", err
	}
	id = in.draft.ID()
	m := &queue.Message{ID: id, Envelope: in.env, Header: in.summary(), Size: in.size}
	offer, cancel := context.WithTimeout(ctx, directTime)
	defer cancel()
	var rest []queue.Part
	var first error
	taken := ""
	for _, p := range parts {
		if p.State == envelope.Queued && p.Lane != "" {
			result := g.deliverer.Direct(offer, m, in.msg, p)
			for _, rec := range result.Taken {
				taken = strings.TrimSuffix(fmt.Sprintf("OK: taken by %s as %s", rec.Upstream, rec.ProviderID), " as ")
			}
			if first == nil {
				first = result.Err
			}
			rest = append(rest, result.Rest...)
			continue
		}
		rest = append(rest, p)
	}
	switch {
	case len(rest) == 0:
		return id, taken, nil
	case taken == "" && first != nil:
		return "", "", directReply(first)
	}
	// Some were taken: neither a client that went nor the end of our time may lose the others.
	if err := in.draft.Commit(context.WithoutCancel(ctx), queue.Accepted{Envelope: in.env, Header: in.summary(), Parts: rest}); err != nil {
		return "", "", g.storeReply(err)
	}
	return id, "", nil
}

// directReply tells the client what the upstream said.
func directReply(err error) error {
	var e *upstream.Error
	if !errors.As(err, &e) {
		e = &upstream.Error{Err: err}
	}
	r := &smtpd.Reply{Code: 451, Enhanced: [3]int{4, 4, 0}, Text: e.Error()}
	switch e.Class {
	case upstream.Permanent:
		r.Code, r.Enhanced = 550, [3]int{5, 0, 0}
	case upstream.Unrepresentable:
		r.Code, r.Enhanced = 554, [3]int{5, 6, 1}
	case upstream.Throttled:
		r.Enhanced = [3]int{4, 7, 0}
	}
	var c [3]int
	if n, _ := fmt.Sscanf(e.Code, "%d.%d.%d", &c[0], &c[1], &c[2]); n == 3 && c[0] == r.Enhanced[0] {
		r.Enhanced = c
	}
	return r
}
