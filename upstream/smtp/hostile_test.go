package smtp

import (
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/hostile"
)

// builders make the wire form of a message, and throw it away.
func builders(tb testing.TB) map[string]func(*upstream.Mail) {
	tb.Helper()
	relay, err := (&settings{Host: "127.0.0.1", Port: 1, TLS: tlsNone}).Open(upstream.Env{})
	if err != nil {
		tb.Fatal(err)
	}
	discard := func([]byte) error { return nil }
	return map[string]func(*upstream.Mail){
		"smtp":                  func(m *upstream.Mail) { _ = writeWire(relay, m, true, discard) },
		"smtp without 8BITMIME": func(m *upstream.Mail) { _ = writeWire(relay, m, false, discard) },
	}
}

// TestHostileRequests holds the promise for relays, from the bytes to the wire.
func TestHostileRequests(t *testing.T) { hostile.Check(t, 1<<18, builders(t)) }

// TestLargeRequests: the size of a message is not the size of what is held of it.
func TestLargeRequests(t *testing.T) {
	hostile.CheckLarge(t, builders(t))
}

// BenchmarkHostile reports the slowest and the fattest message of 1 MB for a relay.
func BenchmarkHostile(b *testing.B) { hostile.Benchmark(b, builders(b)) }
