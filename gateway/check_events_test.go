package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/teller"
)

// probedTeller is a Teller that check --online looks at, with a webhook that its provider may have.
type probedTeller struct {
	*teller.Teller
	has string
}

func (p probedTeller) Check(context.Context) error { return nil }

func (p probedTeller) Hook(_ context.Context, url string) upstream.Finding {
	if url == p.has {
		return upstream.Finef("webhook", "there")
	}
	return upstream.Finding{Name: "webhook", Level: upstream.Warn, Text: "missing"}
}

func (p probedTeller) SetHook(context.Context, string) (upstream.Secret, error) {
	return upstream.Secret{}, nil
}

// TestCheckLooksAtEvents: check --online says whether the log can be read, and the provider has the webhook's address.
func TestCheckLooksAtEvents(t *testing.T) {
	const url = "https://mail.example.com/events/main"
	denied := &upstream.Error{Class: upstream.Account, Err: &upstream.ScopeError{Scope: "logs", Hint: "grant it"}}
	for _, c := range []struct {
		name string
		how  upstream.Listening
		err  error
		has  string
		want []string // level, name, hint
	}{
		{name: "off"},
		{name: "poll", how: upstream.Listening{Every: time.Minute}, want: []string{"ok events "}},
		{name: "denied", how: upstream.Listening{Every: time.Minute}, err: denied, want: []string{"warn events grant it"}},
		{name: "broken", how: upstream.Listening{Every: time.Minute}, err: errors.New("garbage"), want: []string{"warn events "}},
		{name: "both", how: upstream.Listening{Every: time.Minute, Webhook: true, URL: url}, has: url, want: []string{"ok events ", "ok webhook "}},
		{name: "missing", how: upstream.Listening{Webhook: true, URL: url}, want: []string{"warn webhook "}},
		{name: "no url", how: upstream.Listening{Webhook: true}, want: []string{"ok webhook "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := probedTeller{&teller.Teller{How: c.how}, c.has}
			up.Fail(c.err)
			var got []string
			for _, f := range Check(t.Context(), &config.Upstream{Name: "main", Upstream: up}).Findings {
				got = append(got, string(f.Level)+" "+f.Name+" "+f.Hint)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%q, want %q", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}
