package canary

import (
	"fmt"
	"strings"
	"time"
)

// Field of a canary's header, with the name of its upstream: filters know it by that.
const Field = "X-Mailhatch-Canary"

// Subject begins that of every canary; lists know them by it.
const Subject = "mailhatch canary: "

// Mail is a canary on its way into the queue.
type Mail struct {
	Upstream string
	From, To string
	Message  []byte
}

// mail composes a canary. Nobody answers it: it was sent automatically (RFC 3834).
func (c *Config) mail(upstream string, now time.Time) *Mail {
	lines := []string{
		"From: <" + c.From + ">", "To: <" + c.To + ">",
		fmt.Sprintf("Subject: %s%s, %s", Subject, upstream, now.UTC().Format("2006-01-02 15:04 UTC")),
		Field + ": " + upstream, "Auto-Submitted: auto-generated", "X-Auto-Response-Suppress: All",
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=us-ascii", "",
		fmt.Sprintf("This mail shows that upstream %s of mailhatch on %s delivers.", upstream, c.Hostname),
		"Nobody needs to read it: [canary] of the config asks for it. It can be deleted by its field " + Field + ".", "",
	}
	return &Mail{Upstream: upstream, From: c.From, To: c.To, Message: []byte(strings.Join(lines, "\r\n"))}
}
