package api_test

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"mailhatch/upstream"
)

// TestGmailUploads: what is more than JSON should hold goes by the address for uploads.
func TestGmailUploads(t *testing.T) {
	up, fake := start(t, "gmail", "")
	for lines, path := range map[int]string{10: "application/json", 250_000: "message/rfc822"} {
		fake.Reset()
		m := makeMail(t, strings.Replace(plainMessage, "body", strings.Repeat("a line of a large message\n", lines), 1), "ann@example.org", "bob@example.org")
		if out := up.Send(t.Context(), m); out[0].Err != nil || out[1].Err != nil || out[0].ID == "" {
			t.Fatalf("%d lines: %+v, %v", lines, out, fake.Rejected())
		}
		if msg := fake.Accepted()[0]; msg.RequestHeader.Get("Content-Type") != path || len(msg.Recipients) != 2 || len(msg.To) != 1 {
			t.Errorf("%d lines: by %s to %v", lines, msg.RequestHeader.Get("Content-Type"), msg.Recipients)
		}
	}
}

// TestGraphTooLarge names the way out.
func TestGraphTooLarge(t *testing.T) {
	up, fake := start(t, "graph", "")
	m := makeMail(t, strings.Replace(plainMessage, "body", strings.Repeat("a line of a large message\n", 130_000), 1), "ann@example.org")
	e := asError(t, up.Send(t.Context(), m)[0].Err)
	if e.Class != upstream.Unrepresentable || e.Code != "5.3.4" || !strings.Contains(e.Error(), "microsoft365") || fake.Requests() != 0 {
		t.Errorf("%+v after %d requests", e, fake.Requests())
	}
	if err := up.(upstream.Preflighter).Preflight(m); err == nil || err.Error() != e.Error() {
		t.Errorf("preflight: %v", err)
	}
}

// TestAdviceOnDeviceFlow is what oauth knows of Google, given for a kind's own defaults too.
func TestAdviceOnDeviceFlow(t *testing.T) {
	for _, row := range []struct {
		kind, settings string
		want           int
	}{
		{"gmail", "", 0},
		{"gmail", "[oauth2]\nflow = 'device'", 1},
		{"gmail", "[oauth2]\nsubject = 'a@example.com'", 0},
		{"graph", "", 0},
		{"graph", "[oauth2]\nflow = 'device'", 0},
	} {
		s := kindNamed(row.kind).New()
		if _, err := toml.Decode(row.settings, s); err != nil {
			t.Fatal(err)
		}
		if list := s.(upstream.Advisor).Advice(); len(list) != row.want {
			t.Errorf("%s %q: %+v", row.kind, row.settings, list)
		}
	}
}
