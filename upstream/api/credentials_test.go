package api

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"mailhatch/upstream"
)

func TestKeyFields(t *testing.T) {
	secret := upstream.NewSecret("s3cret-key")
	for _, row := range []struct {
		key         Key
		sent, shown string
	}{
		{Bearer(secret), "Authorization: Bearer s3cret-key", "Authorization: Bearer ***"},
		{Basic("api", secret), "Authorization: Basic YXBpOnMzY3JldC1rZXk=", "Authorization: Basic ***"},
		{Key{Setting: "server_token", Field: "X-Server-Token", Secret: secret}, "X-Server-Token: s3cret-key", "X-Server-Token: ***"},
	} {
		r := &http.Request{Header: http.Header{}}
		if e := row.key.Authorize(t.Context(), r, nil); e != nil {
			t.Error(e)
		}
		if got := row.key.Field + ": " + r.Header.Get(row.key.Field); got != row.sent {
			t.Errorf("sent as %q, want %q", got, row.sent)
		}
		if f := row.key.Fields(); len(f) != 2 || f[0]+": "+f[1] != row.shown {
			t.Errorf("shown as %q, want %q", f, row.shown)
		}
	}
}

// changing has another secret each time.
type changing struct {
	Key
	secrets []string
}

func (c *changing) Secrets() []string { return c.secrets }

// TestSecretsThatChange takes out the secrets of the moment, such as a token that was renewed.
func TestSecretsThatChange(t *testing.T) {
	c := &changing{secrets: []string{"first-token"}}
	r := redactor{credentials: c, fixed: []string{"proxy-password"}}
	const words = "first-token second-token proxy-password"
	if got := r.get().Redact(words); got != "*** second-token ***" {
		t.Error(got)
	}
	c.secrets = []string{"first-token", "second-token"}
	if got := r.get().Redact(words); got != "*** *** ***" {
		t.Error(got)
	}
	if a, b := r.get(), r.get(); a != b {
		t.Error("made anew for the same secrets")
	}
	c.secrets = slices.Clone(c.secrets)
	if a := r.get(); a != r.get() {
		t.Error("made anew for the same secrets")
	}
}

func TestKeyCheck(t *testing.T) {
	for key, want := range map[string]string{
		"re_123": "", `a"b'c"`: "", `"`: "", "": "is missing", "re_123\n": "contains whitespace or characters that no key has",
		`"re_123"`: "is in quotes, which no key has", `'re_123'`: "is in quotes, which no key has",
	} {
		got := ""
		var bad *upstream.KeyError
		if err := Bearer(upstream.NewSecret(key)).Check("hint"); errors.As(err, &bad) {
			got = bad.Problem
		}
		if got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}
