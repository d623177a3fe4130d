package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
		{api.Upstream{Name: "main", State: "open", Why: "refuses mail from root@x.org: 403", Refuses: []api.Refused{{From: "root@x.org"}}, Queued: 2},
			"main is open but refuses mail from root@x.org: 403; 2 parts of mail wait for it"},
		{api.Upstream{Name: "gone"}, "gone is not paused, and no upstream of the config"},
	} {
		if got := steered(&row.u); got != row.want {
			t.Errorf("%+v: %q, want %q", row.u, got, row.want)
		}
	}
}

// TestWasTried: a probe of an open upstream has shown something when each From that it refuses was tried, or no mail waits.
func TestWasTried(t *testing.T) {
	began := time.Now()
	before, after := api.Refused{Tried: began.Add(-time.Second)}, api.Refused{Tried: began.Add(time.Second)}
	for name, row := range map[string]struct {
		u    api.Upstream
		want bool
	}{
		"closed":                    {api.Upstream{State: "closed", FailedAt: before.Tried}, false},
		"closed again":              {api.Upstream{State: "closed", FailedAt: after.Tried}, true},
		"open":                      {api.Upstream{State: "open", Queued: 1}, true},
		"a sender is refused still": {api.Upstream{State: "open", Queued: 1, Refuses: []api.Refused{after, before}}, false},
		"all were tried":            {api.Upstream{State: "open", Queued: 1, Refuses: []api.Refused{after}}, true},
		"no mail tries it":          {api.Upstream{State: "open", Refuses: []api.Refused{before}}, true},
	} {
		if got := wasTried(&row.u, began); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestRefusedSendersInStatus: some are named, and how many more there are.
func TestRefusedSendersInStatus(t *testing.T) {
	u := api.Upstream{Name: "sg", Kind: "sendgrid", State: "open"}
	for n := range refusedShown + 2 {
		u.Refuses = append(u.Refuses, api.Refused{From: fmt.Sprintf("a%d@example.com", n), Error: "403: not verified", Next: time.Now().Add(time.Hour)})
	}
	var out strings.Builder
	if err := upstreamTable([]api.Upstream{u}).Write(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if !strings.Contains(text, "refuses mail from a4@example.com: 403: not verified; next try ") || strings.Contains(text, "a5@") || !strings.Contains(text, "and of 2 more") {
		t.Error(text)
	}
}
