package offer

import (
	"context"
	"errors"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/upstream"
)

const (
	traceMargin   = 2 * time.Minute // for clocks that differ: an offer is looked for from so long before it
	tracePatience = time.Hour       // after the last offer, in which a log that does not answer is asked again
	traceFirst    = 30 * time.Second
)

// NoteTraced is what the operator reads of a mail whose reply was lost.
const NoteTraced = "the reply was lost; the provider's log has it"

// Trace is what a provider's log has of a recipient.
type Trace struct {
	Found bool
	ID    string        // by which the provider knows the mail, if it was found
	Wait  time.Duration // the log may have it then; 0 of one that was not found: it never got there
}

// Ask asks a provider's log what became of an offer of a mail to each of its recipients, of which p tells when it was made.
func Ask(ctx context.Context, t upstream.Tracer, mail *upstream.Mail, p *envelope.Progress, now time.Time) ([]Trace, error) {
	found, err := t.Trace(ctx, mail, p.Since.Add(-traceMargin))
	if err != nil {
		return nil, err
	}
	if len(found) != len(mail.To) {
		return nil, errors.New("the upstream's code did not tell of each recipient")
	}
	traces, since := make([]Trace, len(found)), now.Sub(p.LastAttempt)
	for i, f := range found {
		traces[i] = Trace{Found: f.Found, ID: f.ID}
		if !f.Found && since < t.TraceDelay() {
			traces[i].Wait = min(max(traceFirst, since/2), t.TraceDelay()-since)
		}
	}
	return traces, nil
}

// AskAgain returns how long to wait until a log is asked again that could not be asked, so long after the offer; false: that
// will not help.
func AskAgain(err error, since time.Duration) (time.Duration, bool) {
	e := Failure(err)
	passes := e.Class == upstream.Throttled || e.Class == upstream.Temporary && (e.Status == 0 || e.Status >= 500)
	return max(traceFirst, since/2, e.RetryAfter), passes && since < tracePatience
}
