package gateway

import (
	"strings"
	"testing"
)

// TestListenersAnswer: what listens as it should is never called silent, and asking leaves no trace in the log.
func TestListenersAnswer(t *testing.T) {
	for name, keys := range map[string]string{
		"plain":        "",
		"TLS":          "tls = \"implicit\"\nself_signed = true",
		"PROXY":        "proxy_from = [\"127.0.0.1\"]\nallow = [\"127.0.0.1\"]",
		"for others":   "allow = [\"192.0.2.0/24\"]",
		"one by one":   "max_connections = 1",
		"with a login": "auth = \"required\"\n[[listener.user]]\nname = \"a\"\npassword = \"secret-word\"",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\n"+keys+holding)
			if silent := h.g.silent(); len(silent) > 0 {
				t.Errorf("silent: %q", silent)
			}
			if err := h.stop(); err != nil {
				t.Error(err)
			}
			if log := h.log.String(); strings.Contains(log, "rejected") {
				t.Errorf("the log has\n%s", log)
			}
			if silent := h.g.silent(); silent != nil {
				t.Errorf("after the end: %q", silent)
			}
		})
	}
}
