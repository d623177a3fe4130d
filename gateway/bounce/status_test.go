package bounce

import (
	"strings"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	late := now.Add(1000 * time.Hour)
	cases := []struct {
		action Action
		fate   Fate
		at     time.Time
		want   string
	}{
		{Failed, Fate{Status: "5.7.1"}, now, "5.7.1"},
		{Failed, Fate{Status: "4.2.1"}, late, "4.2.1"},
		{Failed, Fate{Status: "2.0.0"}, now, "5.0.0"},
		{Failed, Fate{Status: "not_found", Code: 404}, now, "5.0.0"},
		{Failed, Fate{Status: "5.1", Code: 550}, now, "5.0.0"},
		{Failed, Fate{Status: "5.x.1"}, now, "5.0.0"},
		{Failed, Fate{Status: "5.1234.1"}, now, "5.0.0"},
		{Failed, Fate{Code: 413}, now, "5.3.4"},
		{Failed, Fate{Code: 550, SMTP: true}, late, "5.0.0"},
		{Failed, Fate{Code: 429}, late, "4.4.7"},
		{Failed, Fate{Code: 503}, late, "4.4.7"},
		{Failed, Fate{}, late, "4.4.7"},
		{Failed, Fate{}, now, "5.0.0"},
		{Delayed, Fate{}, now, "4.0.0"},
		{Delayed, Fate{Status: "5.7.1"}, now, "4.7.1"},
		{Delayed, Fate{Status: "4.4.1"}, now, "4.4.1"},
		{Relayed, Fate{Status: "5.7.1"}, now, "2.7.1"},
		{Relayed, Fate{}, now, "2.0.0"},
	}
	for _, c := range cases {
		r := &Report{Action: c.action, At: c.at, Until: now.Add(time.Hour)}
		if got := r.status(c.fate); got != c.want {
			t.Errorf("%s %+v: %s, want %s", c.action, c.fate, got, c.want)
		}
	}
}

func TestDiagnostic(t *testing.T) {
	cases := []struct {
		fate Fate
		want string
	}{
		{Fate{}, ""},
		{Fate{Text: "dial: refused"}, "x-mailhatch; dial: refused"},
		{Fate{Code: 422, Text: "bad\r\nBcc: x"}, "x-mailhatch-http; 422 bad  Bcc: x"},
		{Fate{Code: 503}, "x-mailhatch-http; 503"},
		{Fate{Code: 550, SMTP: true, Text: "550: no"}, "smtp; 550: no"},
		{Fate{Code: 550, SMTP: true, Status: "5.1.1", Text: "no"}, "smtp; 550 no"},
		{Fate{Text: strings.Repeat("x", 2000)}, "x-mailhatch; " + strings.Repeat("x", maxDiagnostic-1) + "…"},
	}
	for _, c := range cases {
		if got := c.fate.diagnostic(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.fate, got, c.want)
		}
	}
}

func TestAdvice(t *testing.T) {
	for status, want := range map[string]string{"5.1.1": "Check", "5.1.8": "sender's", "5.2.2": "full", "5.2.1": "does not take",
		"5.3.4": "too large", "5.6.7": "form", "5.7.26": "policy", "4.4.7": "as long as", "5.0.0": "reason above"} {
		if got := adviceFor(status); !strings.Contains(got, want) {
			t.Errorf("%s: %q", status, got)
		}
	}
}
