package gateway

import (
	"context"
	"fmt"
	"io"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/admin/page"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// newPage makes the page, which hears of what happens from now on.
func (g *Gateway) newPage() *page.Page {
	counts, err := figures.Open(g.current.Load().StateDir, g.clock.Now)
	if err != nil {
		g.figuresLost(err)
	}
	g.figures = counts
	p := page.New(page.Config{Gateway: shown{g.queue, g}, Config: g.current.Load, Figures: counts, Caller: g.access.Caller,
		Catcher: func() bool { return g.file == "" }, SMTP: g.smtpAddress, Now: g.clock.Now, Log: g.opts.Log})
	g.journal.Listen(counts.Hear)
	g.journal.Listen(p.Hear)
	return p
}

// keepFigures keeps what the page counts, for the next start.
func (g *Gateway) keepFigures() {
	if err := g.figures.Keep(); err != nil {
		g.figuresLost(err)
	}
}

func (g *Gateway) figuresLost(err error) { g.journal.InternalError("figures", err) }

// smtpAddress is where programs hand mail over: the first listener that is no socket, "" for none.
func (g *Gateway) smtpAddress() string {
	for _, addr := range g.endpoints.Addrs() {
		if addr.Network() == "tcp" {
			return addr.String()
		}
	}
	return ""
}

// shown is this gateway as its page sees it.
type shown struct {
	queue.Engine
	g *Gateway
}

// Status implements page.Gateway.
func (s shown) Status(ctx context.Context) (*api.Status, error) { return s.g.admin.Status(ctx) }

// Waiting implements page.Gateway.
func (s shown) Waiting(ctx context.Context, list []queue.Message) (*waiting.View, error) {
	return s.g.waiting(ctx, list)
}

// Act implements page.Gateway.
func (s shown) Act(ctx context.Context, action api.Action, sel api.Selection, by string) (*api.Changed, error) {
	return s.g.admin.Act(ctx, action, sel, by)
}

// ActOn implements page.Gateway.
func (s shown) ActOn(ctx context.Context, name string, a api.UpstreamAction, by string) (*api.Upstream, error) {
	return s.g.admin.ActOn(ctx, name, a, by)
}

// Unsuppress implements page.Gateway.
func (s shown) Unsuppress(ctx context.Context, r suppressed.Removal, by string) (*suppressed.Removed, error) {
	return s.g.suppressions().Remove(ctx, r, by)
}

// Reload implements page.Gateway.
func (s shown) Reload(ctx context.Context) ([]string, error) { return s.g.reloadNotes(ctx) }

// Render implements page.Gateway.
func (s shown) Render(ctx context.Context, m *queue.Message, name string, to []envelope.Recipient, w io.Writer) error {
	u := s.g.current.Load().Upstream(name)
	if u == nil {
		return fmt.Errorf("the config has no upstream %s", name)
	}
	r, ok := u.Upstream.(upstream.Renderer)
	if !ok {
		return fmt.Errorf("upstreams of type %s cannot show what they send", u.Kind.Name)
	}
	body, err := s.g.queue.Body(ctx, m.ID)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	msg, err := mime.Parse(body)
	if err != nil {
		return err
	}
	from, edits := u.Departure(m.ID, &m.Envelope, msg)
	if msg, err = msg.With(edits...); err != nil {
		return err
	}
	mail := offer.NewMail(m.ID, &m.Envelope, from, to, msg)
	if p, ok := u.Upstream.(upstream.Preflighter); ok {
		if err := p.Preflight(mail); err != nil {
			return fmt.Errorf("upstream %s cannot carry it: %w", name, err)
		}
	}
	return r.Render(mail, w)
}

// Resend implements page.Gateway.
func (s shown) Resend(ctx context.Context, id string, ask api.Resend, by string) (*api.Resent, error) {
	return s.g.admin.Resend(ctx, id, ask, by)
}
