package main

import (
	"testing"

	"mailhatch/gateway/admin/api"
)

// TestSteered: how an upstream is, in one line, after something was done to it.
func TestSteered(t *testing.T) {
	for _, row := range []struct {
		u    api.Upstream
		want string
	}{
		{api.Upstream{Name: "main", State: "open"}, "main is open"},
		{api.Upstream{Name: "main", State: "open", Queued: 1}, "main is open; 1 part of mail waits for it"},
		{api.Upstream{Name: "main", State: "closed", Reason: "paused", PausedBy: "root", Why: "paused by root since 11:20", Queued: 12},
			"main is paused by root since 11:20; 12 parts of mail wait for it"},
		{api.Upstream{Name: "main", State: "closed", Reason: "account", Why: "closed: 401: key; probe in 27 s"}, "main: closed: 401: key; probe in 27 s"},
		{api.Upstream{Name: "gone"}, "gone is not paused, and no upstream of the config"},
	} {
		if got := steered(&row.u); got != row.want {
			t.Errorf("%+v: %q, want %q", row.u, got, row.want)
		}
	}
}
