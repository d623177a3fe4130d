package mailq

import (
	"net/netip"
	"testing"

	"mailhatch/gateway/admin/api"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailhatch/gateway/envelope"
)

// TestAsGiven: an account is not told where an alias leads.
func TestAsGiven(t *testing.T) {
	to := []envelope.Recipient{{Address: "Ops@corp.example", Given: "root"}, {Address: "boss@corp.example", Given: "root", ORcpt: "rfc822;root@gw"}, {Address: "ann@example.org"}}
	m := api.Message{Envelope: envelope.Envelope{To: to}, Parts: []api.Part{{To: to[:2], Progress: envelope.Progress{Error: "550 <ops@CORP.example>: unknown; Ops@corp.example"}, Why: "tried: OPS@corp.example"}, {To: to[2:]}}}
	asGiven(&m)
	want := api.Message{Envelope: envelope.Envelope{To: []envelope.Recipient{{Address: "root"}, {Address: "ann@example.org"}}}, Parts: []api.Part{
		{To: []envelope.Recipient{{Address: "root"}}, Progress: envelope.Progress{Error: "550 <root>: unknown; root"}, Why: "tried: root"}, {To: []envelope.Recipient{{Address: "ann@example.org"}}}}}
	if d := cmp.Diff(want, m, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	if to[0].Address != "Ops@corp.example" {
		t.Error("the store's own list was changed")
	}
}
