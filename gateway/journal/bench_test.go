package journal

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"mailhatch/gateway/meter"
)

// BenchmarkEvents writes the two lines that each message has.
func BenchmarkEvents(b *testing.B) {
	for name, handler := range map[string]slog.Handler{
		"json": slog.NewJSONHandler(io.Discard, nil), "text": slog.NewTextHandler(io.Discard, nil),
	} {
		j := New(slog.New(handler), meter.NewRegistry())
		to := []string{"rcpt@sink.example"}
		b.Run("accepted/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j.Accepted(Accepted{ID: "01JDEADBEEF000000", MessageID: "<deadbeef-0000001@mailbench.example>", From: "load@mailbench.example",
					To: to, Size: 4096, Client: "127.0.0.1", Listener: "127.0.0.1:1025", Took: time.Millisecond})
			}
		})
		b.Run("sent/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j.Offered("relay", "sent", time.Millisecond)
				j.Sent(Attempt{ID: "01JDEADBEEF000000", MessageID: "<deadbeef-0000001@mailbench.example>", From: "load@mailbench.example",
					To: to, Upstream: "relay", ProviderID: "250 2.0.0 queued as 1", Attempts: 1, Took: time.Millisecond, Age: time.Second})
			}
		})
	}
}
