package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest/fleettest"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

// TestTokensOfTheFleet: gateways on one queue have one token for an upstream, also after a reload.
func TestTokensOfTheFleet(t *testing.T) {
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "app-1", Secret: "s", Scope: "send", Life: time.Hour})
	t.Cleanup(tokens.Close)
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Mechanisms: []string{"XOAUTH2"},
		Token: func(_, access string) bool { return tokens.IsValid(access) }})
	town := fleettest.NewMemory(time.Minute)
	text := relayConfig(relay, fmt.Sprintf("tls = \"starttls\"\nca_file = %q\nusername = \"app@example.com\"\n[upstream.main.oauth2]\nprovider = \"custom\"\n"+
		"flow = \"client_credentials\"\nclient_id = \"app-1\"\nclient_secret = \"s\"\nscopes = [\"send\"]\ntoken_url = %q\n", relay.CAFile, tokens.URL))
	asked := 0
	for _, name := range []string{"a", "b"} {
		h := newHouse(t, text)
		if err := errors.Join(h.stop(), os.RemoveAll(filepath.Join(h.cfg.StateDir, "tokens"))); err != nil { // it was alone
			t.Fatal(err)
		}
		before := tokens.Requests()
		h.wrap = func(q queue.Engine) queue.Engine { return inFleet{q, town.Gateway(name)} }
		h.start()
		for n, to := range []string{"before@example.org", "after@example.org"} {
			to = name + "-" + to
			h.mustSend("x@example.com", []string{to}, plainMail)
			h.await("mail by a token", func() bool { taken, _ := relayedTo(relay, to); return taken == 1 })
			if n == 0 {
				if err := h.g.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		asked += tokens.Requests() - before
	}
	if asked != 1 {
		t.Errorf("%d requests for tokens", asked)
	}
}

// TestShareTokensOfOneMachine: a queue of this machine's own has no tokens of others.
func TestShareTokensOfOneMachine(t *testing.T) {
	end, err := ShareTokens(t.Context(), &config.Config{Queue: config.Queue{Engine: "sqlite"}})
	if err != nil || end() != nil {
		t.Error(err)
	}
}
