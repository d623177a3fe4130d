package feedbacktest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// testForward: what is told waits for each receiver, in the write that takes it in, until that has it.
func testForward(t *testing.T, h *house) {
	ctx := context.Background()
	outgoing := func(receiver string) (keys []int64, kinds []string) {
		t.Helper()
		list, err := h.q.Outgoing(ctx, receiver, 10)
		h.must("Outgoing", err)
		for _, o := range list {
			keys, kinds = append(keys, o.Key), append(kinds, fmt.Sprint(o.Kind, " ", o.Recipient, " ", o.State, " ", o.From, " ", o.Upstream))
		}
		return keys, kinds
	}
	id := h.sent("1", "bob@example.org")
	tell := func(kind queue.EventKind, after time.Duration) {
		t.Helper()
		h.apply(queue.Told{ProviderID: "1", Recipient: "bob@example.org", Kind: kind, At: time.Now().Add(after), Words: "w", Key: string(kind)})
	}
	tell(queue.EventOpened, 0) // before anybody asked for it
	h.q.Forward([]string{"crm", "desk"})
	tell(queue.EventDelivered, time.Second)
	tell(queue.EventDelivered, time.Second)
	tell(queue.EventComplained, 2*time.Second)
	h.stop()
	h.start()
	h.q.Forward([]string{"crm", "desk"})
	want := []string{"delivered bob@example.org delivered app@example.com main", "complained bob@example.org complained app@example.com main"}
	keys, kinds := outgoing("crm")
	if !slices.Equal(kinds, want) {
		t.Errorf("for crm: %q, want %q", kinds, want)
	}
	h.must("HandedOver", h.q.HandedOver(ctx, keys...))
	if keys, _ := outgoing("crm"); len(keys) != 0 {
		t.Errorf("%d wait after they were handed over", len(keys))
	}
	list, err := h.q.Outgoing(ctx, "desk", 1)
	h.must("Outgoing", err)
	if len(list) != 1 || list[0].ID != id || list[0].Words != "w" || list[0].Told.Key != "delivered" || list[0].MessageID == "" {
		t.Errorf("for desk: %+v", list)
	}
	h.q.Forward(nil)
	tell(queue.EventClicked, 3*time.Second)
	if keys, _ := outgoing("nobody"); len(keys) != 0 {
		t.Errorf("%d wait for nobody", len(keys))
	}
	h.must("HandedOver of nothing", h.q.HandedOver(ctx))
	h.must("HandedOver again", h.q.HandedOver(ctx, keys...))
}
