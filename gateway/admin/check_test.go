package admin

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"

	"mailhatch/upstream"
)

// TestCheck: the gateway checks an upstream with its own secrets, for those that may use the socket.
func TestCheck(t *testing.T) {
	want := Checked{Name: "main", Kind: "resend", Tried: true, Millis: 3, Error: "a wrong key", Findings: []upstream.Finding{{Name: "key", Level: upstream.Fail, Text: "a wrong key"}}}
	c, address := start(t, Config{Queue: newFake(), Check: func(_ context.Context, name string) (Checked, bool) { return want, name == "main" }})
	if got, err := c.Check(t.Context(), "main"); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var e *Error
	if _, err := c.Check(t.Context(), "no ne"); !errors.As(err, &e) || e.Status != http.StatusNotFound || e.Words != `the running gateway has no upstream "no ne"` {
		t.Errorf("another name: %v", err)
	}
	if status, _ := ask(t, http.MethodPost, "http://"+address+"/api/v1/check/main", "", "", nil); status != http.StatusForbidden {
		t.Errorf("by TCP: %d", status)
	}
}
