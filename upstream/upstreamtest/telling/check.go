package telling

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
)

// Check holds what a kind made of anything at all to what its listeners rely on.
func Check(t testing.TB, b upstream.Batch, err error) {
	t.Helper()
	var e *upstream.Error
	if err != nil && !errors.Is(err, upstream.ErrSignature) && !errors.Is(err, upstream.ErrEvents) && !errors.As(err, &e) {
		t.Errorf("an error of no kind: %v", err)
	}
	if err != nil && len(b.Events) > 0 || len(b.Events) > upstream.MaxEvents || strings.ContainsAny(b.Note, "\r\n") {
		t.Errorf("%d events, %q, %v", len(b.Events), b.Note, err)
	}
	for _, e := range b.Events {
		if e.Key == "" || e.Kind.String() == "" || !strings.Contains(e.Recipient, "@") || e.ProviderID == "" && e.QueueID == "" || e.At.After(time.Now()) ||
			strings.ContainsAny(e.Words+e.Recipient+e.Key+e.ProviderID+e.QueueID+e.RemoteMTA, "\r\n\x00") {
			t.Errorf("%+v", e)
		}
	}
}
