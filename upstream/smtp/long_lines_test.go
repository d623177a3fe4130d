package smtp

import (
	"strings"
	"testing"

	"mailhatch/upstream/upstreamtest"
)

// TestLongLinesOrSize: a message that is too large for the relay without its long lines leaves with them.
func TestLongLinesOrSize(t *testing.T) {
	message := "From: a@example.com\r\nSubject: s\r\nMessage-ID: <m@example.com>\r\n\r\n" + strings.Repeat(strings.Repeat("x", 5000)+"\r\n", 20)
	for _, row := range []struct {
		size  string
		whole bool // as it was written
	}{{"", false}, {"SIZE 200000", false}, {"SIZE 100500", true}} {
		extensions := []string{"8BITMIME"}
		if row.size != "" {
			extensions = append(extensions, row.size)
		}
		relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: extensions})
		out := openSMTP(t, relay, nil).Send(t.Context(), upstreamtest.NewMail(t, message, "b@example.org"))
		if out[0].Err != nil {
			t.Errorf("%s: %v", row.size, out[0].Err)
			continue
		}
		if got := string(relay.Taken()[0].Data) == message; got != row.whole {
			t.Errorf("%s: as written is %v", row.size, got)
		}
		if told := strings.Contains(out[0].Note, "too large for the relay"); told != row.whole {
			t.Errorf("%s: note %q", row.size, out[0].Note)
		}
	}
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"8BITMIME", "SIZE 100000"}})
	if out := openSMTP(t, relay, nil).Send(t.Context(), upstreamtest.NewMail(t, message, "b@example.org")); out[0].Err == nil {
		t.Error("a message that is too large in either form was sent")
	}
}
