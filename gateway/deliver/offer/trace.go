package offer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

const (
	traceMargin   = 2 * time.Minute // for clocks that differ: an offer is looked for from so long before it
	tracePatience = time.Hour       // after the last offer, in which a log that does not answer is asked again
	traceFirst    = 30 * time.Second
)

// NoteTraced is what the operator reads of a mail whose reply was lost.
const NoteTraced = "the reply was lost; the provider's log has it"

// NoteTold is that of a mail whose reply was lost where the provider's events have it.
const NoteTold = "the reply was lost; the provider has reported on it"

// Trace is what a provider's log has, or its events have, of a recipient.
type Trace struct {
	Found bool
	ID    string        // by which the provider knows the mail, if it was found
	Wait  time.Duration // it may be there then; 0 of one that was not found: it never got there, as far as it shows
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
		if !f.Found {
			traces[i].Wait = waitFor(t.TraceDelay(), since)
		}
	}
	return traces, nil
}

// waitFor returns when to look again for what shows within a delay, so long after the offer; 0: it would be there.
func waitFor(delay, since time.Duration) time.Duration {
	if since >= delay {
		return 0
	}
	return min(max(traceFirst, since/2), delay-since)
}

// Heard returns what a provider's events report of an offer to recipients of a message, of which p tells when it was made. An
// event of any kind will do, for a provider does not report on mail that it did not take; one that anybody could have written
// will not. delay is how long the events may take.
func Heard(told []queue.Told, to []envelope.Recipient, p *envelope.Progress, delay time.Duration, now time.Time) []Trace {
	traces := make([]Trace, len(to))
	for i, rcpt := range to {
		for _, e := range told {
			if e.Recipient != "" && !e.Unsigned && queue.AddressText(e.Recipient) == queue.AddressText(rcpt.Address) {
				traces[i] = Trace{Found: true, ID: cmp.Or(traces[i].ID, e.ProviderID)}
			}
		}
		if !traces[i].Found {
			traces[i].Wait = waitFor(delay, now.Sub(p.LastAttempt))
		}
	}
	return traces
}

// Bounds of how long events may take.
const (
	heardPolls = 3 // that the provider is asked before another offer
	heardHook  = 2 * time.Minute
	heardMost  = queue.JoinTime / 2 // events wait for a record no longer than JoinTime
)

// HearingDelay is how long after an offer its first events are there, as a rule.
func HearingDelay(how upstream.Listening) time.Duration {
	switch {
	case how.Off() || how.Bounces:
		return 0
	case how.Every > 0:
		return min(heardPolls*how.Every, heardMost)
	}
	return heardHook
}

// AskAgain returns how long to wait until a log is asked again that could not be asked, so long after the offer; false: that
// will not help.
func AskAgain(err error, since time.Duration) (time.Duration, bool) {
	e := Failure(err)
	passes := e.Class == upstream.Throttled || e.Class == upstream.Temporary && (e.Status == 0 || e.Status >= 500)
	return max(traceFirst, since/2, e.RetryAfter), passes && since < tracePatience
}
