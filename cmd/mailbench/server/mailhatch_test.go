package server

import (
	"strings"
	"testing"
)

func TestConfigs(t *testing.T) {
	to := Target{SMTP: 2525, URL: "http://127.0.0.1:8525", Concurrent: 7}
	for upstream, want := range map[string]string{
		"smtp": `tls = "none"`, "hold": "hold = true", "resend": to.URL, "sendgrid": `type = "sendgrid"`, "mailgun": `domain = "`,
	} {
		to.Upstream = upstream
		got, err := config("/x y", "direct", 1025, to)
		if err != nil || !strings.Contains(got, want) || !strings.Contains(got, "address = \"127.0.0.1:1025\"\nmode = \"direct\"\n") || !strings.Contains(got, "max_concurrent = 7") {
			t.Errorf("%s: %v\n%s", upstream, err, got)
		}
	}
	if _, err := config("/x", "", 1, Target{Upstream: "pigeon"}); err == nil {
		t.Error("a config for no upstream")
	}
}
