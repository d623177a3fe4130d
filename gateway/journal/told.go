package journal

import (
	"log/slog"
	"strconv"
	"time"
)

// Told is what a provider told later of a recipient.
type Told struct {
	Kind          string // delivered, bounced…
	ID, MessageID string
	From, To      string
	Upstream      string
	ProviderID    string
	At            time.Time // when it happened
	Status        string    // RFC 3463
	Words         string
	Bad           bool // the recipient has not got the mail, or did not want it
}

// Told writes "told": a provider has told what became of mail that it took.
func (j *Journal) Told(e Told) {
	j.metrics.told.Inc(e.Upstream, e.Kind)
	level := slog.LevelInfo
	if e.Bad {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("event", e.Kind), slog.String("id", e.ID), slog.String("message_id", e.MessageID), slog.String("from", e.From),
		slog.String("to", e.To), slog.String("upstream", e.Upstream), slog.String("provider_id", e.ProviderID), slog.Time("at", e.At)}
	if e.Status != "" {
		attrs = append(attrs, slog.String("status", e.Status))
	}
	if e.Words != "" {
		attrs = append(attrs, slog.String("words", e.Words))
	}
	j.write(level, "told", attrs...)
}

// Suppression is an address that gets no mail.
type Suppression struct {
	Address  string
	Domain   string // of the senders whose mail it concerns; "": all
	Reason   string
	ID       string // of the mail that an event was about
	Upstream string
	Until    time.Time // zero: for good
	Words    string
}

// Suppressed writes "suppressed": an event has put an address on the list of those that get no mail.
func (j *Journal) Suppressed(s Suppression) {
	j.metrics.suppressed.Inc(s.Reason)
	until := slog.Attr{} // none is not written
	if !s.Until.IsZero() {
		until = slog.Time("until", s.Until)
	}
	j.write(slog.LevelWarn, "suppressed", slog.String("address", s.Address), slog.String("domain", s.Domain), slog.String("reason", s.Reason),
		slog.String("id", s.ID), slog.String("upstream", s.Upstream), until, slog.String("words", s.Words))
}

// Lifted writes "lifted": a later delivery has taken an address off that list.
func (j *Journal) Lifted(s Suppression) {
	j.metrics.lifted.Inc()
	j.write(slog.LevelInfo, "lifted", slog.String("address", s.Address), slog.String("domain", s.Domain), slog.String("reason", s.Reason))
}

// ToldNothing counts events of which nothing could be made: result is "known", "dropped" or "skipped". It writes no line.
func (j *Journal) ToldNothing(upstream, result string, n int) {
	if n > 0 {
		j.metrics.toldNothing.Add(n, upstream, result)
	}
}

// EventsStray writes "events_stray": of so many events nothing could be made since the last such line.
func (j *Journal) EventsStray(upstream string, dropped, skipped int, note string) {
	j.write(slog.LevelWarn, "events_stray", slog.String("upstream", upstream), slog.Int("dropped", dropped), slog.Int("skipped", skipped),
		slog.String("note", note))
}

// Polled counts a question to a provider's log: result is "ok" or "failed". It writes no line.
func (j *Journal) Polled(upstream string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	j.metrics.polls.Inc(upstream, result)
}

// EventsFailed writes "events_failed": what became of mail cannot be learned; it is asked again.
func (j *Journal) EventsFailed(upstream string, err error, next time.Time) {
	j.write(slog.LevelWarn, "events_failed", slog.String("upstream", upstream), slog.String("error", err.Error()), slog.Time("next", next))
}

// EventsBack writes "events_back": the provider answers again.
func (j *Journal) EventsBack(upstream string, after time.Duration) {
	j.write(slog.LevelInfo, "events_back", slog.String("upstream", upstream), slog.Int64("after_ms", after.Milliseconds()))
}

// EventRequest counts a webhook request by what it was answered; it writes no line.
func (j *Journal) EventRequest(upstream string, status int) {
	j.metrics.requests.Inc(upstream, strconv.Itoa(status))
}

// EventsRefused writes "events_refused": so many webhook requests were not taken in since the last such line, and why
// the last of them was not. Nothing of their bodies is in it.
func (j *Journal) EventsRefused(upstream string, requests int, reason, client string) {
	j.write(slog.LevelWarn, "events_refused", slog.String("upstream", upstream), slog.Int("requests", requests), slog.String("reason", reason),
		slog.String("client", client))
}

// CanaryFailed writes "canary_failed": a mail that the gateway sent through an upstream to see whether it delivers has stopped
// at a stage; since is when the first one was sent that did.
func (j *Journal) CanaryFailed(upstream, id, stage, words string, since time.Time) {
	j.metrics.canaryOK.Set(0, upstream)
	j.write(slog.LevelError, "canary_failed", slog.String("upstream", upstream), slog.String("id", id), slog.String("stage", stage),
		slog.String("error", words), slog.Time("since", since))
}

// CanaryBack writes "canary_back": canaries through the upstream arrive again.
func (j *Journal) CanaryBack(upstream, id string, after time.Duration) {
	j.write(slog.LevelInfo, "canary_back", slog.String("upstream", upstream), slog.String("id", id), slog.Int64("after_ms", after.Milliseconds()))
}

// CanaryArrived notes how long a canary took, as far as is known; it writes no line.
func (j *Journal) CanaryArrived(upstream string, took time.Duration) {
	j.metrics.canaryOK.Set(1, upstream)
	j.metrics.canary.Observe(took.Seconds(), upstream)
}
