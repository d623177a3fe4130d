package admin

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"

	"mailhatch/gateway/admin/api"
	"mailhatch/upstream"
)

// TestCheck: the gateway checks an upstream with its own secrets, for those that may use the socket.
func TestCheck(t *testing.T) {
	want := api.Checked{Name: "main", Kind: "resend", Tried: true, Millis: 3, Error: "a wrong key", Findings: []upstream.Finding{{Name: "key", Level: upstream.Fail, Text: "a wrong key"}}}
	c, address := start(t, Config{Queue: newFake(), Check: func(_ context.Context, name string) (api.Checked, bool) { return want, name == "main" }})
	if got, err := c.Check(t.Context(), "main"); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var e *api.Error
	if _, err := c.Check(t.Context(), "no ne"); !errors.As(err, &e) || e.Status != http.StatusNotFound || e.Words != `the running gateway has no upstream "no ne"` {
		t.Errorf("another name: %v", err)
	}
	if status, _ := ask(t, http.MethodPost, "http://"+address+"/api/v1/check/main", "", "", nil); status != http.StatusForbidden {
		t.Errorf("by TCP: %d", status)
	}
}

// TestAlertTests: what came back from receivers is shown.
func TestAlertTests(t *testing.T) {
	want := []api.AlertTest{{Name: "ops", Receiver: "https://x/***", Answer: "200 OK", Millis: 3}, {Name: "2", Error: "answered 500"}}
	c, _ := start(t, Config{Queue: newFake(), TestAlerts: func(_ context.Context, name string) ([]api.AlertTest, error) {
		if name == "none" {
			return nil, errors.New("there is no alert")
		}
		return want, nil
	}})
	if got, err := c.TestAlerts(t.Context(), ""); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var e *api.Error
	if _, err := c.TestAlerts(t.Context(), "none"); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("another name: %v", err)
	}
	without, _ := start(t, Config{Queue: newFake()})
	if _, err := without.TestAlerts(t.Context(), ""); !errors.As(err, &e) || e.Status != http.StatusNotImplemented {
		t.Errorf("without: %v", err)
	}
}
