package main

import (
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestPrintRecovery: mail that a route held is on hold as well, so the hint is not to let go all at once.
func TestPrintRecovery(t *testing.T) {
	one := queue.Restored{ID: "38AA", From: "app@example.com", Size: 300, Source: "bodies", To: []envelope.Recipient{{Address: "ann@example.org"}}}
	for want, list := range map[string][]queue.Restored{
		"1 message is on hold, as it may have been sent, or held by a route: ": {one}, "2 messages are on hold, as they may have been sent, or held by a route: ": {one, one}, "": nil,
	} {
		var out strings.Builder
		(&app{stdout: &out}).printRecovery(&queue.Recovery{Damage: "the log is cut off", Restored: list})
		got := out.String()
		if !strings.Contains(got, want) || (want != "") != strings.Contains(got, "--all would release what routes\nand people hold as well\n") {
			t.Errorf("%d: %s", len(list), got)
		}
	}
}
