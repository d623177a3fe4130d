package identity

import (
	"net/netip"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// TestHideReceived: what is left tells of this gateway and nothing before it.
func TestHideReceived(t *testing.T) {
	env := &envelope.Envelope{Received: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), To: []envelope.Recipient{{Address: "a@b.c", Given: "root"}},
		Client: envelope.Client{Addr: netip.MustParseAddr("10.0.0.7"), Helo: "pc7.inside", Protocol: "ESMTPSA", User: "ann", TLS: "1.3"}}
	const header = "Received: from pc7.inside ([10.0.0.7])\r\n by gw\r\nReceived: by pc7.inside\r\nSubject: s\r\n\r\n"
	got := string(mime.EditHeader([]byte(header), HideReceived(env, "gw.example.com", "ID7")...))
	const want = "Received: by gw.example.com (mailhatch) with ESMTPSA id ID7; Wed, 04 Mar 2026\r\n 05:06:07 +0000\r\nSubject: s\r\n\r\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
