package smtp

import (
	"errors"
	"strings"
	"testing"

	"mailhatch/upstream"
)

// TestHostForms: how other programs write a relay, and what the hint says; "" for what is a host.
func TestHostForms(t *testing.T) {
	for host, want := range map[string]string{
		"smtp.example.com": "", "localhost": "", "192.0.2.1": "", "::1": "", "smtp.example.com.": "",
		"smtp.example.com:587":              "give the number as port",
		"[smtp.example.com]":                `write host = "smtp.example.com"`,
		"[smtp.example.com]:587":            `write host = "smtp.example.com" and port = 587`,
		"[smtp.example.com]:submission":     `write host = "smtp.example.com"`,
		"[2001:db8::7]:25":                  `write host = "2001:db8::7" and port = 25`,
		"[::1]":                             `write host = "::1"`,
		"smtp://smtp.example.com":           `write host = "smtp.example.com"`,
		"smtps://smtp.example.com:465/":     `write host = "smtp.example.com" and port = 465 and tls = "implicit"`,
		"smtp://ann:geheim@example.com:587": "username = … and password = …",
		"ann:geheim@smtp.example.com":       "username = … and password = …",
		"a.example.com, b.example.com":      "one host",
		"a.example.com;b.example.com":       "one host",
		"*":                                 `for example host = "smtp.example.com"`,
		"<relay>":                           `for example host = "smtp.example.com"`,
		"":                                  "for example",
	} {
		u, err := (&settings{Host: host, TLS: tlsNone}).Open(upstream.Env{Name: "relay", Hostname: "gateway.test"})
		text := ""
		if err == nil {
			_ = u.(*relay).Close()
		} else {
			text = err.Error()
		}
		var wrong *upstream.KeyError
		if errors.As(err, &wrong) {
			text += "; " + wrong.Hint
		}
		if (err == nil) != (want == "") || !strings.Contains(text, want) {
			t.Errorf("%s: %s", host, text)
		}
		if strings.Contains(text, "geheim") {
			t.Errorf("a password is shown: %s", text)
		}
	}
}
