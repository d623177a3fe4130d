package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

const maxHeader = 1 << 20 // bytes of a header; far beyond real ones

// door lets the clients of one listener in.
type door struct {
	g        *Gateway
	listener *config.Listener
}

// Sender asks allow_from of the user; rules judge a sender together with a recipient.
func (d *door) Sender(_ context.Context, env *envelope.Envelope) error {
	return d.g.sender(d.listener, env)
}

// Recipient refuses a recipient as early as rules that need no header allow.
func (d *door) Recipient(_ context.Context, env *envelope.Envelope, rcpt *envelope.Recipient) error {
	cfg := d.g.current.Load()
	var refusal error
	for _, r := range cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{*rcpt}) {
		in := &route.Input{Envelope: env, To: r.Address}
		decision, known := cfg.Routes.Early(in)
		if !known || cfg.Rewrites.MayRedirect(in) || decision.Action != route.Reject {
			return nil
		}
		refusal = &decision.Reply
	}
	return refusal
}

// Accept keeps a message.
func (d *door) Accept(ctx context.Context, env *envelope.Envelope, body io.Reader) (string, string, error) {
	if d.listener.Mode == "direct" {
		return d.g.acceptDirect(ctx, env, body)
	}
	return d.g.accept(ctx, env, body)
}

// accept makes a message durable and gives its queue id. Errors are *envelope.Reply or those of reading body.
func (g *Gateway) accept(ctx context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error) {
	cfg := g.current.Load()
	in, err := g.receive(ctx, cfg, env, body)
	if err != nil {
		return "", "", err
	}
	return g.commit(ctx, in, false)
}

// commit promises what was received, or discards it. A late message is one whose sender no longer
// waits for an answer: recipients that the routes refuse are bounced, even if they are all it has.
func (g *Gateway) commit(ctx context.Context, in *incoming, late bool) (id, text string, err error) {
	defer in.draft.Discard() //nolint:errcheck // what is left of it goes at the next start
	parts, refused, err := g.parts(in)
	if refused && late {
		err = nil
	}
	if err != nil {
		return "", "", err
	}
	start := time.Now()
	err = in.draft.Commit(ctx, queue.Accepted{Envelope: in.env, Header: in.summary(), Parts: parts})
	if err != nil {
		return "", "", g.storeReply(err)
	}
	g.accepted(in, time.Since(start))
	return in.id, "", nil
}

// accepted tells of a message that the client is done with.
func (g *Gateway) accepted(in *incoming, took time.Duration) {
	g.journal.Accepted(journal.Accepted{ID: in.id, MessageID: in.msg.MessageID, From: in.env.From, To: addressList(in.env.To), Size: in.size,
		Client: clientName(in.env.Client), User: in.env.Client.User, Listener: in.env.Client.Listener, Rewritten: in.rewritten, Took: took})
}

// incoming is a message whose bytes are written but not yet promised.
type incoming struct {
	cfg       *config.Config
	env       envelope.Envelope // after aliases and rewriting
	copies    map[string]bool   // recipients that rules added, in lower case
	rewritten []string          // names of the rules that applied
	id        string            // of draft
	draft     queue.Draft
	body      queue.Body
	msg       *mime.Message
	size      int64
	fits      map[string]bool // upstream name: it can carry the message to all recipients
}

// receive writes a message into a draft: trace field, completed header, body as it comes.
func (g *Gateway) receive(ctx context.Context, cfg *config.Config, given *envelope.Envelope, body io.Reader) (*incoming, error) {
	draft, err := g.queue.New(ctx)
	if err != nil {
		return nil, g.storeReply(err)
	}
	in := &incoming{cfg: cfg, env: *given, id: draft.ID(), draft: draft}
	if err := g.write(ctx, in, body); err != nil {
		_ = draft.Discard()
		return nil, err
	}
	return in, nil
}

func (g *Gateway) write(ctx context.Context, in *incoming, body io.Reader) error {
	raw, rest, err := mime.ReadHeader(body, maxHeader)
	if errors.Is(err, mime.ErrHeaderTooLarge) {
		return &envelope.Reply{Code: 552, Enhanced: [3]int{5, 3, 4}, Text: fmt.Sprintf("the header is longer than %d bytes or 100,000 lines", maxHeader)}
	}
	if err != nil {
		return err // of reading
	}
	cfg := in.cfg
	fields := mime.ParseHeader(raw)
	if identity.Hops(fields) >= identity.MaxHops {
		return &envelope.Reply{Code: 554, Enhanced: [3]int{5, 4, 6}, Text: fmt.Sprintf("mail loop: %d hops already", identity.MaxHops)}
	}
	if in.env.Received.IsZero() {
		in.env.Received = time.Now()
	}
	in.env.From = cfg.Identity.Qualify(in.env.From)
	in.env.To = cfg.Aliases.Expand(cfg.Identity, in.env.To)
	if len(in.env.To) == 0 {
		return &envelope.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "the aliases leave no recipient"}
	}
	rest, size, done, err := g.measured(ctx, cfg, rest)
	if err != nil {
		return err
	}
	defer done()
	header := mime.EditHeader(raw, completion(cfg, fields, &in.env, in.id, in.env.Received)...)
	mail := &route.Mail{Envelope: &in.env, Header: header, Size: int64(len(header)) + size}
	if err := cfg.Rewrites.Apply(mail); err != nil {
		return err
	}
	in.copies, in.rewritten = mail.Copies, mail.Applied
	header = mime.EditHeader(mail.Header, received(cfg, mail, in.id, in.env.Received))
	if _, err := in.draft.Write(header); err != nil {
		return g.storeReply(err)
	}
	if err := g.store(in.draft, rest); err != nil {
		return err
	}
	return g.parse(in)
}

// parse reads what was written back: rules and upstreams judge the bytes that will be delivered.
func (g *Gateway) parse(in *incoming) error {
	body, err := in.draft.Body()
	if err != nil {
		return g.storeReply(err)
	}
	in.body, in.size = body, body.Size()
	if in.msg, err = mime.Parse(body); err != nil {
		return g.storeReply(err)
	}
	return nil
}

// storeReply tells a client that its mail could not be kept.
func (g *Gateway) storeReply(err error) error {
	g.journal.InternalError("queue", err)
	if errors.Is(err, queue.ErrFull) {
		return &envelope.Reply{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "no space left to keep the message, try again later"}
	}
	return &envelope.Reply{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: "the message could not be kept, try again later"}
}

// parts sorts recipients by where they go. When none can be taken the refusal is a *envelope.Reply; when
// some cannot, they are taken all the same and bounced.
func (g *Gateway) parts(in *incoming) (parts []queue.Part, none bool, refusal error) {
	asked, refused := 0, 0 // of the recipients that the client named
	ri := route.NewInput(in.id, &in.env, in.msg, in.size)
	for _, rcpt := range in.env.To {
		ri.To = rcpt.Address
		d := in.cfg.Routes.Decide(ri)
		part := queue.Part{State: envelope.Queued, To: []envelope.Recipient{rcpt}}
		var err error
		switch d.Action {
		case route.Reject:
			err = &d.Reply
		case route.Hold:
			part.State = envelope.Held
		case route.Deliver:
			part.Lane, part.Progress.Unfit, err = g.lane(in, d.Via, rcpt)
		}
		if !in.copies[mime.AddressKey(rcpt.Address)] {
			asked++
			if err != nil {
				refused++
				refusal = err
			}
		}
		i := slices.IndexFunc(parts, func(p queue.Part) bool {
			return p.Lane == part.Lane && p.State == part.State && slices.Equal(p.Progress.Unfit, part.Progress.Unfit)
		})
		if i < 0 {
			parts = append(parts, part)
			continue
		}
		parts[i].To = append(parts[i].To, rcpt)
	}
	if refused == asked && refused > 0 {
		return parts, true, refusal
	}
	return parts, false, nil
}

// lane gives the upstream that should have the message: the first of via that can carry it and is
// not closed; unfit lists those that cannot. When none can carry it, the reason is the reply.
func (g *Gateway) lane(in *incoming, via []string, rcpt envelope.Recipient) (name string, unfit []string, err error) {
	fit := make([]string, 0, len(via))
	var reason error
	for _, name := range via {
		u := in.cfg.Upstream(name)
		if u == nil {
			continue
		}
		p, ok := u.Upstream.(upstream.Preflighter)
		if !ok {
			fit = append(fit, name)
			continue
		}
		if err := in.preflight(u, p, rcpt); err != nil {
			reason = err
			unfit = append(unfit, name)
			continue
		}
		fit = append(fit, name)
	}
	if len(fit) == 0 {
		return "", nil, reason
	}
	return g.deliverer.Choose(fit), unfit, nil
}

// preflight asks once for all recipients, and only where that fails for each.
func (in *incoming) preflight(u *config.Upstream, p upstream.Preflighter, rcpt envelope.Recipient) error {
	ok, known := in.fits[u.Name]
	if !known {
		ok = in.judge(u, p, in.env.To) == nil
		if in.fits == nil {
			in.fits = map[string]bool{}
		}
		in.fits[u.Name] = ok
	}
	if ok {
		return nil
	}
	return in.judge(u, p, []envelope.Recipient{rcpt})
}

// judge gives the reply for a message that the upstream cannot carry, its rewrite_from applied; trouble
// of any other kind is for delivery to meet.
func (in *incoming) judge(u *config.Upstream, p upstream.Preflighter, to []envelope.Recipient) error {
	from, msg := in.env.From, in.msg
	if u.Sender != nil {
		newFrom, edits := u.Sender.Apply(from, msg)
		edited, err := msg.With(edits...)
		if err != nil {
			return nil //nolint:nilerr // the store's trouble, not the message's
		}
		from, msg = newFrom, edited
	}
	err := p.Preflight(deliver.NewMail(in.id, &in.env, from, to, msg))
	var e *upstream.Error
	if errors.As(err, &e) && (e.Class == upstream.Unrepresentable || e.Class == upstream.Permanent) {
		return preflightReply(e)
	}
	return nil
}

func preflightReply(e *upstream.Error) error {
	r := &envelope.Reply{Code: 554, Enhanced: [3]int{5, 6, 1}, Text: fmt.Sprint(e.Err)}
	if c, ok := envelope.ParseStatus(e.Code); ok && c[0] == 5 {
		r.Enhanced = c
	}
	if r.Enhanced == [3]int{5, 3, 4} {
		r.Code = 552
	}
	return r
}

func (in *incoming) summary() queue.Summary {
	s := queue.Summary{MessageID: in.msg.MessageID, Subject: in.msg.Subject}
	if len(in.msg.From) > 0 {
		s.From = in.msg.From[0].String()
	}
	return s
}

func addressList(to []envelope.Recipient) []string {
	list := make([]string, len(to))
	for i, r := range to {
		list[i] = r.Address
	}
	return list
}

// clientName says who handed a message over; what a client calls itself in EHLO is only its claim.
func clientName(c envelope.Client) string {
	if c.Addr.IsValid() {
		return c.Addr.String()
	}
	return "local"
}
