// Package api is what upstreams that speak HTTP share: the calls and their errors, and the message as APIs take it.
package api

import (
	"context"
	"time"

	"mailhatch/upstream"
)

// Settings are the keys that every HTTP kind has beside its credentials.
type Settings struct {
	BaseURL            string            `toml:"base_url"`
	Timeout            upstream.Duration `toml:"timeout"` // of one request, answer included
	CAFile             string            `toml:"ca_file"`
	Bind               string            `toml:"bind"` // address that connections come from
	PassControlHeaders bool              `toml:"pass_control_headers"`
}

// Defaults returns the settings of a table that has no keys.
func Defaults() Settings { return Settings{Timeout: upstream.Duration{Duration: 30 * time.Second}} }

// Service describes a provider's API: what is the same for every mail.
type Service struct {
	URL        string   // where it is, unless base_url says otherwise
	KeyHint    string   // where a key comes from
	Recipients int      // of one request
	Bytes      int64    // of one request's body
	Keyed      bool     // requests have keys by which the provider knows a repeated one
	Batches    bool     // one request can send to many who do not see each other, without anyone for To
	Addressed  bool     // recipients stand in the message's header, which needs nobody in To: the others are in Bcc
	Changes    []string // as in Kind
}

// Provider is what each HTTP API fills in; the rest of an offer is the same for all.
type Provider interface {
	// refuses returns the error that compose, or a request that it makes, would have for a mail that is small
	// for the API, without reading the body; known is false where only compose can tell.
	Refuses(m *upstream.Mail) (err *upstream.Error, known bool)
	// compose translates what all requests of a mail share.
	Compose(m *upstream.Mail) (Composed, *upstream.Error)
	// interpret reads an answer.
	Interpret(a *Answer, c *Call) Verdict
	// account asks for what the account has, and sends nothing. An error may come with the answer it is about.
	Account(ctx context.Context) (*Answer, error)
	// findings reads an answer of account for people.
	Findings(ctx context.Context, a *Answer, domains []string) []upstream.Finding
}

// Composed makes the request for some recipients of a mail.
type Composed func(c *Call) (*Request, *upstream.Error)

// Upstream hands mail to an HTTP API.
type Upstream struct {
	client   *Client
	provider Provider
}

// New makes the upstream of a provider that is reached by client.
func New(client *Client, p Provider) *Upstream { return &Upstream{client, p} }

// Send offers m by as many requests as its recipients need.
func (u *Upstream) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	o := &offer{upstream: u, mail: m, known: m.Digest, outcomes: make([]upstream.Outcome, len(m.To))}
	composed, err := u.provider.Compose(m)
	if err != nil {
		o.set(everyone(m), upstream.Outcome{Err: err})
		return o.outcomes
	}
	o.composed = composed
	o.offer(ctx, everyone(m))
	return o.outcomes
}

// Close closes idle connections.
func (u *Upstream) Close() error {
	u.client.client.CloseIdleConnections()
	return nil
}

// Check reports whether the provider knows the key.
func (u *Upstream) Check(ctx context.Context) error {
	_, err := u.provider.Account(ctx)
	return err
}

// JSONChanges lists what all APIs that take text and files separately change in every message.
func JSONChanges() []string {
	return []string{
		"the provider rebuilds the MIME structure from one text, one HTML and files, with its own boundaries, charsets and transfer encodings",
		"the envelope sender is the provider's: bounces go there, not to MAIL FROM",
		"To and Cc show only recipients of the same request; addresses that are only in the header are not shown",
		"recipients who are not in To or Cc are sent as Bcc; if nobody is left for To, or there are more than a request allows, each gets a separate mail",
		"Message-ID and Date are replaced; the originals are kept in X-Original-Message-ID and X-Original-Date",
		"repeated header fields become one: the values are joined with a comma, or the first is used if only one makes sense",
		"trace fields and signatures (Received, DKIM-Signature, ARC-*, Authentication-Results) are removed; the provider writes its own",
		"of several From addresses one is kept (Sender, or the first that the API accepts); replies still go to all",
		"a From without an address keeps its text as the name and gets the envelope sender's address; mail whose From domain has no dot is not carried",
		"an empty subject or body becomes one space",
	}
}

// KeyQuestion asks for api_key; env is the environment variable that has it by default.
func KeyQuestion(env string) upstream.Question {
	return upstream.Question{Key: "api_key", Text: "API key (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "api-key",
		Default: func(map[string]string) string { return "env:" + env }}
}

// RegionQuestion asks for region, the first being the default.
func RegionQuestion(regions ...string) upstream.Question {
	return upstream.Question{Key: "region", Text: "Which region?", Words: regions, Optional: true, Flag: "region", Usage: "`region` of the provider's API"}
}
