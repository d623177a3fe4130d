package accept

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/upstream/kinds"
)

// TestRehearsal: it refuses what the handler of a listener does, reads the message to its end and keeps nothing.
func TestRehearsal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mailhatch.toml")
	text := `
state_dir = "state"
[[listener]]
address = "127.0.0.1:1025"
auth = "required"
[[listener.user]]
name = "app"
password = "secret"
allow_from = ["@example.com"]
[upstream.relay]
type = "memory"
[[route]]
to = "@gone.example"
reject = "550 gone"
[[route]]
via = "relay"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	h := Rehearsal(cfg, &cfg.Listeners[0])
	code := func(err error) int {
		var r *envelope.Reply
		if errors.As(err, &r) {
			return r.Code
		}
		return 0
	}
	for from, want := range map[string]int{"a@example.com": 0, "a@evil.example": 553} {
		if got := code(h.Sender(t.Context(), &envelope.Envelope{From: from, Client: envelope.Client{User: "app"}})); got != want {
			t.Errorf("%s: %d", from, got)
		}
	}
	for to, want := range map[string]int{"a@x.example": 0, "a@gone.example": 550} {
		if got := code(h.Recipient(t.Context(), &envelope.Envelope{}, &envelope.Recipient{Address: to})); got != want {
			t.Errorf("%s: %d", to, got)
		}
	}
	for message, want := range map[string]int{
		"Subject: x\r\n\r\nbody\r\n": 0, "X: " + strings.Repeat("x", maxHeader) + "\r\n\r\n": 552, strings.Repeat("Received: x\r\n", 200) + "\r\n": 554,
	} {
		body := strings.NewReader(message)
		_, _, err := h.Accept(t.Context(), &envelope.Envelope{}, body)
		if left, _ := io.ReadAll(body); code(err) != want || want == 0 && (err != nil || len(left) > 0) {
			t.Errorf("%.20q: %v, %d bytes left", message, err, len(left))
		}
	}
	if _, err := os.Stat(cfg.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was kept: %v", err)
	}
}
