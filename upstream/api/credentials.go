package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"

	"mailhatch/upstream"
)

// Credentials are put into each request, so that the provider knows whose mail it is.
type Credentials interface {
	// Check returns a *KeyError where they cannot be right. hint is where new ones come from.
	Check(hint string) error
	// Authorize sets the fields of r that hold them; body is what r sends.
	Authorize(ctx context.Context, r *http.Request, body Payload) *upstream.Error
	// Fields returns the names and values of these fields, name, value, name, value…, with secrets redacted.
	Fields() []string
	// Secrets returns what nobody may see; they can be others from one call to the next.
	Secrets() []string
}

// Renewable is implemented by credentials that can become others before their time.
type Renewable interface {
	// Refused tells that the provider did not take those of a request; again reports that the next Authorize sets others.
	Refused(r *http.Request) (again bool)
}

// Key is a secret that stands in one field of each request.
type Key struct {
	Setting string // where the config has it: "api_key"
	Field   string // "Authorization"
	Scheme  string // what stands before it in the field: "Bearer"; "": nothing
	Secret  upstream.Secret
	User    string // of the scheme Basic, whose password the secret is (RFC 7617)
}

// Bearer is the authorization of RFC 6750 by api_key.
func Bearer(key upstream.Secret) Key {
	return Key{Setting: "api_key", Field: "Authorization", Scheme: "Bearer", Secret: key}
}

// Basic is the authorization of RFC 7617 by api_key.
func Basic(user string, key upstream.Secret) Key {
	return Key{Setting: "api_key", Field: "Authorization", Scheme: "Basic", Secret: key, User: user}
}

// Check accepts any printable ASCII that is not in quotes.
func (k Key) Check(hint string) error {
	switch {
	case k.Secret.IsZero():
		return &upstream.KeyError{Key: k.Setting, Problem: "is missing", Hint: hint}
	case strings.ContainsFunc(k.Secret.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return &upstream.KeyError{Key: k.Setting, Problem: "contains whitespace or characters that no key has",
			Hint: "copy the key again, without line ends"}
	case quoted(k.Secret.Reveal()):
		return &upstream.KeyError{Key: k.Setting, Problem: "is in quotes, which no key has",
			Hint: "remove them where the key comes from: docker --env-file and env: keep quotes as part of the value"}
	}
	return nil
}

// quoted reports whether a text begins and ends with the same quote.
func quoted(s string) bool {
	return len(s) > 1 && s[0] == s[len(s)-1] && (s[0] == '"' || s[0] == '\'')
}

// value is what the provider is shown, without the scheme.
func (k Key) value() string {
	if k.Scheme == "Basic" {
		return base64.StdEncoding.EncodeToString([]byte(k.User + ":" + k.Secret.Reveal()))
	}
	return k.Secret.Reveal()
}

// Authorize sets the field.
func (k Key) Authorize(_ context.Context, r *http.Request, _ Payload) *upstream.Error {
	r.Header.Set(k.Field, strings.TrimSpace(k.Scheme+" "+k.value()))
	return nil
}

// Fields returns the field without the secret.
func (k Key) Fields() []string {
	return []string{k.Field, strings.TrimSpace(k.Scheme + " " + upstream.Redacted)}
}

// Secrets returns the key in the forms that it travels in.
func (k Key) Secrets() []string { return []string{k.Secret.Reveal(), k.value()} }

// BodyKey is a secret that stands in the body of each request, where [Object.Secret] writes it.
type BodyKey struct{ Key }

// Authorize has nothing to set.
func (BodyKey) Authorize(context.Context, *http.Request, Payload) *upstream.Error { return nil }

// Fields returns none.
func (BodyKey) Fields() []string { return nil }

// Secret writes a field whose value is a string that nobody is shown.
func (j *Object) Secret(name string, s upstream.Secret) {
	j.Name(name)
	j.flush()
	j.Value(s.Reveal())
	j.done = append(j.done, Segment{Literal: j.buf.Bytes(), Secret: true})
	j.buf = bytes.Buffer{}
}

// redactor makes a Redactor anew when the secrets have changed.
type redactor struct {
	fixed       []string // of proxies
	credentials Credentials

	mu      sync.Mutex
	secrets []string
	made    *upstream.Redactor
}

func (r *redactor) get() *upstream.Redactor {
	secrets := r.credentials.Secrets()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == nil || !slices.Equal(secrets, r.secrets) {
		r.secrets, r.made = secrets, upstream.NewRedactor(slices.Concat(r.fixed, secrets)...)
	}
	return r.made
}
