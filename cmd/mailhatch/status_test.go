package main

import (
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
)

func TestPrintStatusOfStrayMail(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	err := a.printStatus(&api.Status{Running: true, Version: "1", Hostname: "gw", Upstreams: []api.Upstream{{Queued: 3}, {Name: "b", State: "open", InFlight: 1}, {Name: "(bounces)", Queued: 2}}})
	if err != nil || !strings.Contains(out.String(), "(none)     -     -      0          -     3       ") ||
		!strings.Contains(out.String(), "b          -     open   1          -     0       -\n") ||
		!strings.Contains(out.String(), "(bounces)  -     -      0          -     2       -\n    mail that was given up; its sender gets a digests\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestExpiryNote(t *testing.T) {
	now := time.Now()
	for want, e := range map[string]api.Expiry{
		"token: 12 min old, ends in 47 min":        {Name: "token", Since: now.Add(-12*time.Minute - time.Second), At: now.Add(48*time.Minute - time.Second), Renewed: true},
		"token: none yet; not renewed: 400: words": {Name: "token", Renewed: true, Error: "400: words"},
		"token: ended 2 min ago":                   {Name: "token", At: now.Add(-2*time.Minute - time.Second), Renewed: true},
		"certificate: ends in 5 d, on " + now.Add(5*24*time.Hour+time.Minute).Format(time.DateOnly): {Name: "certificate", At: now.Add(5*24*time.Hour + time.Minute)},
	} {
		if got := expiryNote(&e); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
