package view

import (
	"strings"
	"testing"

	"mailhatch/mime"
)

// TestOtherTexts: what few programs know is shown beside its file where it is short enough for both.
func TestOtherTexts(t *testing.T) {
	for _, row := range []struct {
		header string
		size   int
		shown  bool
	}{
		{"text/x-log", 10, true}, {"text/csv; header=present", 10, true}, {"text/xml", maxOtherText, true}, {"text/xml", maxOtherText + 1, false},
		{"text/x-log; name=a.log", 10, false}, {"text/x-log\r\nContent-Disposition: attachment", 10, false}, {"text/x-log\r\nContent-Disposition: inline", 10, true},
		{"text/vcard", 10, false}, {"text/watch-html", 10, false}, {"text/css", 10, false}, {"application/xml", 10, false},
	} {
		m, err := mime.Parse(mime.NewBytesSource([]byte("Content-Type: " + row.header + "\r\n\r\n" + strings.Repeat("x", row.size))))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Of(m)
		if err != nil {
			t.Fatal(err)
		}
		if (c.Text != nil) != row.shown || len(c.Attachments) != 1 || c.Attachments[0].Original != row.shown {
			t.Errorf("%q of %d bytes: text %v, files %+v", row.header, row.size, c.Text != nil, c.Attachments)
		}
	}
}
