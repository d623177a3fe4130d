package mime

import (
	"net/mail"
	"strings"
	"time"
)

// parseDate reads a date as RFC 5322 3.3 and 4.3 write it and as some programs do. The zero time
// says that it cannot be read.
func parseDate(s string) time.Time {
	if len(s) > 200 {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC1123Z, s); err == nil { // nearly all; mail.ParseDate tries other forms first
		return t
	}
	if t, err := mail.ParseDate(s); err == nil {
		return t
	}
	if i := strings.IndexByte(s, '('); i >= 0 {
		s = s[:i]
	}
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "-0000", "+0000")), " ")
	for _, layout := range []string{
		"Mon, 2 Jan 2006 15:04:05",
		"2 Jan 2006 15:04:05",
		"Mon, 2 Jan 2006 15:04:05 MST-0700",
		"Monday, 2 Jan 2006 15:04:05 -0700",
		"Monday, 02-Jan-06 15:04:05 MST",
		"Mon, 2-Jan-2006 15:04:05 -0700",
		"Mon Jan 2 15:04:05 2006",
		"Mon Jan 2 15:04:05 MST 2006",
		"Mon Jan 2 15:04:05 -0700 2006",
		time.RFC3339,
		"2006-01-02 15:04:05 -0700",
		"2006-01-02 15:04:05",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}
