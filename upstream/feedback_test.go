package upstream_test

import (
	"testing"

	"mailhatch/upstream"
)

func TestEventKinds(t *testing.T) {
	for k := upstream.Delivered; k <= upstream.Clicked; k++ {
		if got, ok := upstream.ParseEventKind(k.String()); !ok || got != k {
			t.Errorf("%v is read as %v", k, got)
		}
	}
	for _, name := range []string{"", "sent", "Delivered", "event(0)"} {
		if k, ok := upstream.ParseEventKind(name); ok {
			t.Errorf("%q is %v", name, k)
		}
	}
	if s := upstream.EventKind(0).String() + upstream.EventKind(99).String(); s != "event(0)event(99)" {
		t.Error(s)
	}
}

func TestEventKey(t *testing.T) {
	if a, b := upstream.EventKey("a", "bc"), upstream.EventKey("ab", "c"); a == b || a != upstream.EventKey("a", "bc") || len(a) != 32 {
		t.Error(a, b)
	}
}

func TestListening(t *testing.T) {
	if !(upstream.Listening{}).Off() || (upstream.Listening{Webhook: true}).Off() || (upstream.Listening{Every: 1}).Off() {
		t.Error("what is off is not")
	}
}
