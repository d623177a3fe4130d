package page

import (
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
)

// TestMaildropNotes: mail that lies in the maildrop is worth a note, what is just being taken in is not.
func TestMaildropNotes(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		status *api.MaildropStatus
		want   string
	}{
		"none":    {nil, ""},
		"empty":   {&api.MaildropStatus{}, ""},
		"fresh":   {&api.MaildropStatus{Messages: 3, Oldest: now.Add(-2 * time.Second)}, ""},
		"waiting": {&api.MaildropStatus{Messages: 3, Oldest: now.Add(-time.Hour)}, "3 messages of local programs"},
		"refused": {&api.MaildropStatus{Refused: 1, RefusedDir: "/x"}, "1 message could not be taken in from the maildrop; see /x"},
	} {
		var texts []string
		for _, n := range maildropNotes(now, c.status) {
			texts = append(texts, n.Text)
		}
		if got := strings.Join(texts, " "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
