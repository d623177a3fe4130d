// Package tokens is what the kinds share whose API takes access tokens (RFC 6750).
package tokens

import (
	"context"
	"net/http"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/oauth"
)

// Credentials put a token into each request.
type Credentials struct{ *oauth.Source }

const field, scheme = "Authorization", "Bearer "

// Check has nothing to say: tokens are got when they are needed.
func (c Credentials) Check(string) error { return nil }

// Authorize gets a token, which may take a request of its own.
func (c Credentials) Authorize(ctx context.Context, r *http.Request, _ api.Payload) *upstream.Error {
	access, err := c.Token(ctx)
	if err == nil {
		r.Header.Set(field, scheme+access)
	}
	return err
}

// Refused asks for another token in place of the one that r has.
func (c Credentials) Refused(r *http.Request) bool {
	return c.Source.Refused(strings.TrimPrefix(r.Header.Get(field), scheme))
}

// Fields returns the field without the token.
func (c Credentials) Fields() []string { return []string{field, scheme + upstream.Redacted} }

// Upstream hands mail to an API that takes tokens.
type Upstream struct {
	*api.Upstream
	source *oauth.Source
}

// New makes the upstream of a provider that is reached by client, whose Credentials have this source.
func New(client *api.Client, p api.Provider, source *oauth.Source) *Upstream {
	return &Upstream{api.New(client, p), source}
}

// Expiries returns when the token that logs in ends.
func (u *Upstream) Expiries() []upstream.Expiry { return u.source.Expiries() }

// Login implements upstream.Loginer.
func (u *Upstream) Login(ctx context.Context, show func(upstream.LoginCode)) error {
	return u.source.Login(ctx, show)
}

// NeedsLogin implements upstream.Loginer.
func (u *Upstream) NeedsLogin() bool { return u.source.NeedsLogin() }

// HasTokens implements upstream.TokenSharer.
func (u *Upstream) HasTokens() bool { return true }

// ShareTokens implements upstream.TokenSharer.
func (u *Upstream) ShareTokens(v upstream.Vault) { u.source.Share(v) }

// Run keeps the token alive.
func (u *Upstream) Run(ctx context.Context) error { return u.source.Run(ctx) }

// Probe tries to get a token first, then the API with it.
func (u *Upstream) Probe(ctx context.Context, domains []string) []upstream.Finding {
	list, ok := u.source.Probe(ctx)
	if ok {
		list = append(list, u.Upstream.Probe(ctx, domains)...)
	}
	return list
}
