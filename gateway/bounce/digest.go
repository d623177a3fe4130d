package bounce

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-message"
)

// MaxDigest is how many failures a digest names; it counts the others.
const MaxDigest = 500

// Digest notifies a sender of many failures in one message for people: recipients by the reason. RFC 3464
// reports are about one message each, so it contains none. The zero value is ready to use.
type Digest struct {
	byReason   map[string][]string
	recipients int // lines and those that were left out
}

// Add takes a recipient of the message with a queue id.
func (d *Digest) Add(id, subject, recipient, reason string) {
	d.recipients++
	if d.recipients > MaxDigest {
		return
	}
	line := fmt.Sprintf("  %s  (queue id %s", printable(recipient), id)
	if subject = printable(subject); subject != "" {
		line += ", " + clip(subject, 100)
	}
	if d.byReason == nil {
		d.byReason = map[string][]string{}
	}
	reason = printable(reason)
	d.byReason[reason] = append(d.byReason[reason], line+")")
}

// Message composes the digest for a sender, whose address must be ASCII, as [Report.Message] composes a
// report.
func (d *Digest) Message(hostname, sender string, now time.Time) ([]byte, error) {
	h := ownHeader(hostname, sender, fmt.Sprintf("Undelivered mail: %d recipients", d.recipients), now, false)
	h.add("Auto-Submitted", "auto-replied")
	h.add("MIME-Version", "1.0")
	h.add("Content-Type", "text/plain; charset=utf-8")
	h.add("Content-Transfer-Encoding", "quoted-printable")
	header, err := h.header()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := message.CreateWriter(&out, header)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(d.text(hostname))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (d *Digest) text(hostname string) string {
	var w strings.Builder
	fmt.Fprintf(&w, "So much of your mail failed that the rest is reported in one message.\r\n"+
		"The messages are kept at %s for a while and can be retried there.\r\n", hostname)
	for _, reason := range slices.Sorted(maps.Keys(d.byReason)) {
		fmt.Fprintf(&w, "\r\n%s\r\n%s\r\n", reason, strings.Join(d.byReason[reason], "\r\n"))
	}
	if more := d.recipients - MaxDigest; more > 0 {
		fmt.Fprintf(&w, "\r\nand %d more\r\n", more)
	}
	return w.String()
}
