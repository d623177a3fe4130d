package accept

import (
	"context"
	"fmt"
	"io"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
	"mailhatch/gateway/smtpd"
	"mailhatch/mime"
	"strings"
)

// handler accepts the mail of one listener.
type handler struct {
	*Acceptor
	listener *config.Listener
}

// Handler returns the handler of the sessions of a listener.
func (a *Acceptor) Handler(l *config.Listener) smtpd.Handler { return &handler{a, l} }

// Sender refuses what allow_from does not let a user send; rules judge a sender together with a recipient.
func (h *handler) Sender(_ context.Context, env *envelope.Envelope) error {
	now := h.Config().Latest(h.listener)
	u := now.User(env.Client.User)
	if u == nil && loggedIn(now, env) {
		return &envelope.Reply{Code: 530, Enhanced: [3]int{5, 7, 0}, Text: env.Client.User + " no longer exists"}
	}
	if env.Client.User == "" || u == nil || u.MaySend(env) {
		return nil
	}
	return &envelope.Reply{Code: 553, Enhanced: [3]int{5, 7, 1}, Text: fmt.Sprintf("%s may not send as <%s>", env.Client.User, env.From)}
}

// Recipient refuses a recipient as early as rules that need no header allow, and the list of suppressed addresses.
func (h *handler) Recipient(ctx context.Context, env *envelope.Envelope, rcpt *envelope.Recipient) error {
	cfg := h.Config()
	var refusal error
	var open []string // addresses that rules take
	reached, ended := cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{*rcpt})
	for i := range ended {
		if ended[i].State != envelope.Failed {
			return nil
		}
		refusal = ended[i].Reply()
	}
	for _, r := range reached {
		in := &route.Input{Envelope: env, To: r.Address}
		decision, known := cfg.Routes.Early(in)
		switch {
		case !known || cfg.Rewrites.MayRedirect(in) || decision.Action == route.Discard || decision.Action != route.Reject && decision.Regardless:
			return nil
		case decision.Action == route.Reject:
			refusal = &decision.Reply
		default:
			open = append(open, r.Address)
		}
	}
	suppressed := h.refusals(ctx, cfg.Identity.Qualify(env.From), open...)
	for _, address := range open {
		reply := suppressed[address]
		if reply == nil {
			return nil
		}
		refusal = reply
	}
	return refusal
}

// Accept keeps a message.
func (h *handler) Accept(ctx context.Context, env *envelope.Envelope, body io.Reader) (string, string, error) {
	if h.listener.Mode == "direct" {
		return h.direct(ctx, env, body)
	}
	id, err := h.accept(ctx, env, body, false)
	return id, "", err
}

// loggedIn distinguishes a client that gave a password from one that is named by its certificate or socket,
// which need not be listed. "A" ends the protocol of those who used AUTH (RFC 3848).
func loggedIn(lc *config.Listener, env *envelope.Envelope) bool {
	if name := env.Client.User; name == "" || strings.HasPrefix(name, "uid:") {
		return false
	}
	return lc.ClientCAFile == "" || strings.HasSuffix(env.Client.Protocol, "A")
}

// rehearsing answers as the handler of a listener, and keeps nothing.
type rehearsing struct{ handler }

// Rehearsal returns a handler that answers as that of the listener would, up to the end of the header: what becomes
// of the message then is for Prepare and the routes to tell. It keeps nothing.
func Rehearsal(cfg *config.Config, l *config.Listener) smtpd.Handler {
	return &rehearsing{handler{&Acceptor{Config: func() *config.Config { return cfg }}, l}}
}

// Accept reads a message.
func (h *rehearsing) Accept(_ context.Context, _ *envelope.Envelope, body io.Reader) (string, string, error) {
	raw, rest, err := readHeader(body)
	if err != nil {
		return "", "", err
	}
	if err := checkHops(mime.ParseHeader(raw)); err != nil {
		return "", "", err
	}
	_, err = io.Copy(io.Discard, rest)
	return "", "", err
}
