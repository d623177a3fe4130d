package resend

import (
	"testing"

	"mailhatch/upstream/api"
)

func TestAgreeingName(t *testing.T) {
	rows := []struct {
		name, mediaType string
		inline          bool
		wantName, want  string
	}{
		{"a.pdf", "application/pdf", false, "a.pdf", "application/pdf"},
		{"A.PDF", "application/pdf; x=y", false, "A.PDF", "application/pdf; x=y"},
		{"a.pdf", "image/png", false, "a.pdf", "application/octet-stream"},
		{"a", "application/pdf", false, "a.pdf", "application/pdf"},
		{"v1. final", "application/pdf", false, "v1. final.pdf", "application/pdf"},
		{"a.xyz", "application/x-xyz", false, "a.xyz", "application/octet-stream"},
		{"a.pdf", "", false, "a.pdf", "application/octet-stream"},
		{"logo", "image/jpg", true, "logo.jpg", "image/jpeg"},
		{"a.jpeg", "image/jpg; x=y", false, "a.jpeg", "image/jpeg; x=y"},
		{"invite.ics", "application/ics", false, "invite.ics", "text/calendar"},
		{"a.zip", "application/x-zip-compressed", false, "a.zip", "application/zip"},
		{"a.md", "text/plain", false, "a.md", "text/plain"},
		{"logo.png", "image/jpeg", true, "logo.png.jpg", "image/jpeg"},
		{"delivery-status.txt", "message/delivery-status", false, "delivery-status.txt", "text/plain"},
		{"invite.ics", "text/calendar; method=REQUEST", false, "invite.ics", "text/calendar; method=REQUEST"},
	}
	for _, row := range rows {
		name, mediaType := agreeingName(api.File{Name: row.name, MediaType: row.mediaType, Inline: row.inline})
		if name != row.wantName || mediaType != row.want {
			t.Errorf("%s %s: %s %s", row.name, row.mediaType, name, mediaType)
		}
	}
}
