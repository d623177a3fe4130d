package api_test

import (
	"io"
	"net/http"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/upstreamtest/hostile"
)

// discarding takes every request and reads its body.
type discarding struct{}

// RoundTrip refuses what it has read, in words of no provider.
func (discarding) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 500, Body: http.NoBody, Request: r}, nil
}

// builders make requests of a message, and throw them away.
func builders(tb testing.TB) map[string]func(*upstream.Mail) {
	tb.Helper()
	all := map[string]func(*upstream.Mail){}
	for _, kind := range composers() {
		up, err := openKind(kind.name, kind.with("k")+"base_url = 'http://127.0.0.1:1'\npass_control_headers = true\n")
		if err != nil {
			tb.Fatal(err)
		}
		api.WithTransport(up, discarding{})
		all[kind.name] = func(m *upstream.Mail) {
			if up.(upstream.Preflighter).Preflight(m) == nil {
				up.Send(tb.Context(), m)
			}
		}
	}
	return all
}

// TestHostileRequests holds the promise for each API, from the bytes to the request.
func TestHostileRequests(t *testing.T) {
	size := 1 << 20
	if raceEnabled {
		size >>= 4
	}
	hostile.Check(t, size, builders(t))
}

// TestLargeRequests: the size of a message is not the size of what is held of it.
func TestLargeRequests(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory and time of its own")
	}
	hostile.CheckLarge(t, builders(t))
}

// BenchmarkHostile reports the slowest and the fattest message of 1 MB for each API.
func BenchmarkHostile(b *testing.B) { hostile.Benchmark(b, builders(b)) }
