package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/queue"
)

func TestGatewayTable(t *testing.T) {
	now := time.Now()
	s := &api.Status{Gateway: "app1-abcde", Gateways: []queue.Gateway{
		{Name: "app1-abcde", Version: "1.2", Since: now.Add(-time.Hour), Seen: now, Alive: true, Lanes: []string{"main", "bulk"}},
		{Name: "app2-fghij", Version: "1.1", Since: now.Add(-2 * time.Hour), Seen: now.Add(-5 * time.Minute), Note: "12 messages wait in its spool"}}}
	var b bytes.Buffer
	if err := gatewayTable(s).Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"app1-abcde (this one)", "main, bulk", "app2-fghij", "5 min ago", "gives no sign of life", "12 messages wait in its spool"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}
