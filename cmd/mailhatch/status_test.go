package main

import (
	"strings"
	"testing"

	"mailhatch/gateway/admin"
)

func TestPrintStatusOfStrayMail(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	err := a.printStatus(&admin.Status{Running: true, Version: "1", Hostname: "gw", Upstreams: []admin.Upstream{{Queued: 3}, {Name: "b", State: "open", InFlight: 1}}})
	if err != nil || !strings.Contains(out.String(), "(none)    -     -      0          -     3       -\n") ||
		!strings.Contains(out.String(), "b         -     open   1          -     0       -\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
