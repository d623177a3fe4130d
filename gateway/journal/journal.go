// Package journal writes the operator's events: each is typed, one structured log line and one counter.
//
// Rooms return errors; what the operator must know becomes an event here. The message of each line is
// the event's name, and the keys are the same in all of them: id, from, to, upstream, class…
package journal

import (
	"context"
	"log/slog"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/meter"
)

// Journal writes events. Its methods may be called at once from many goroutines.
type Journal struct {
	log       *slog.Logger
	metrics   metrics
	listeners []func(Event)
}

// New returns a journal that writes lines to log and registers its metrics with reg.
func New(log *slog.Logger, reg *meter.Registry) *Journal {
	j := &Journal{log: log, metrics: newMetrics()}
	j.metrics.register(reg)
	return j
}

// Log returns the logger beneath, for lines that are not events of mail.
func (j *Journal) Log() *slog.Logger { return j.log }

func (j *Journal) write(level slog.Level, event string, attrs ...slog.Attr) {
	ctx, h := context.Background(), j.log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	// The event's name is enough: slog looks up the source line at some cost.
	r := slog.NewRecord(time.Now(), level, event, 0)
	r.AddAttrs(attrs...)
	_ = h.Handle(ctx, r) // as slog.Logger does: there is no place to report it
}

// Accepted is a message that the queue keeps from now on.
type Accepted struct {
	ID, MessageID string
	From          string
	To            []string
	Size          int64
	Client        string // address or name of the program that handed it over
	User          string
	Listener      string
	Rewritten     []string      // names of the rewrite rules that applied
	Took          time.Duration // from the end of the header to the commit
}

// Accepted writes "accepted".
func (j *Journal) Accepted(e Accepted) {
	j.metrics.accepted.Inc(e.Listener)
	j.metrics.acceptedBytes.Add(int(e.Size), e.Listener)
	j.metrics.commit.Observe(e.Took.Seconds())
	j.tell(Event{Name: "accepted", ID: e.ID, Recipients: len(e.To), Canary: e.Listener == envelope.CanaryListener})
	rewritten := slog.Attr{} // none is not written
	if len(e.Rewritten) > 0 {
		rewritten = slog.Any("rewritten", e.Rewritten)
	}
	j.write(slog.LevelInfo, "accepted", slog.String("id", e.ID), slog.String("message_id", e.MessageID),
		slog.String("from", e.From), slog.Any("to", e.To), slog.Int64("size", e.Size), slog.String("client", e.Client),
		slog.String("user", e.User), slog.String("listener", e.Listener), rewritten)
}

// Rejected is mail that was refused before it was accepted, or a client that was turned away.
type Rejected struct {
	Stage    string // connect, auth, mail, rcpt, data, command
	Code     int    // SMTP reply code
	Reason   string
	From     string
	To       []string
	Client   string
	Listener string
}

// Rejected writes "rejected".
func (j *Journal) Rejected(e Rejected) {
	j.metrics.rejected.Inc(e.Stage)
	j.write(slog.LevelWarn, "rejected", slog.String("stage", e.Stage), slog.Int("code", e.Code), slog.String("reason", e.Reason),
		slog.String("from", e.From), slog.Any("to", e.To), slog.String("client", e.Client), slog.String("listener", e.Listener))
}

// Attempt is what became of one offer to an upstream, for recipients with the same outcome.
type Attempt struct {
	ID, MessageID string
	From          string
	To            []string
	Upstream      string
	ProviderID    string
	Attempts      int // this one included
	Took          time.Duration
	Age           time.Duration // since the message was accepted
	Class         string        // of the failure
	Status        int
	Error         string
	Next          time.Time // of the next attempt
	Note          string    // what is to be known of a mail that was taken, "" for nothing
	Canary        bool      // the gateway sent it to see whether the upstream delivers
}

func (e *Attempt) attrs(more ...slog.Attr) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 12), slog.String("id", e.ID), slog.String("message_id", e.MessageID), slog.String("from", e.From),
		slog.Any("to", e.To), slog.String("upstream", e.Upstream), slog.Int("attempts", e.Attempts),
		slog.Int64("latency_ms", e.Took.Milliseconds()))
	return append(attrs, more...)
}

// event is what listeners hear of it.
func (e *Attempt) event(name string) Event {
	return Event{Name: name, ID: e.ID, Upstream: e.Upstream, Class: e.Class, Error: e.Error, Recipients: len(e.To), Age: e.Age, Took: e.Took, Canary: e.Canary}
}

func (e *Attempt) failure() []slog.Attr {
	return []slog.Attr{slog.String("class", e.Class), slog.Int("status", e.Status), slog.String("error", e.Error)}
}

// Offered counts one call of an upstream and what it led to; it writes no line.
func (j *Journal) Offered(upstream, class string, took time.Duration) {
	j.metrics.attempts.Inc(upstream, class)
	j.metrics.latency.Observe(took.Seconds(), upstream)
}

// Sent writes "sent": an upstream took responsibility for these recipients.
func (j *Journal) Sent(e Attempt) {
	j.metrics.sent.Add(len(e.To), e.Upstream)
	j.metrics.age.Observe(e.Age.Seconds())
	j.tell(e.event("sent"))
	attrs := e.attrs(slog.String("provider_id", e.ProviderID))
	if e.Note != "" {
		attrs = append(attrs, slog.String("note", e.Note))
	}
	j.write(slog.LevelInfo, "sent", attrs...)
}

// Deferred writes "deferred": these recipients wait for a next attempt.
func (j *Journal) Deferred(e Attempt) {
	j.metrics.deferred.Add(len(e.To), e.Upstream, e.Class)
	j.tell(e.event("deferred"))
	j.write(slog.LevelWarn, "deferred", e.attrs(append(e.failure(), slog.Time("next", e.Next))...)...)
}

// Failed writes "failed": these recipients are given up.
func (j *Journal) Failed(e Attempt) {
	j.metrics.failed.Add(len(e.To), e.Upstream, e.Class)
	j.tell(e.event("failed"))
	j.write(slog.LevelError, "failed", e.attrs(e.failure()...)...)
}

// Held writes "held": these recipients wait for an operator.
func (j *Journal) Held(e Attempt) {
	j.metrics.held.Add(len(e.To))
	j.tell(e.event("held"))
	j.write(slog.LevelWarn, "held", e.attrs(e.failure()...)...)
}

// Discarded writes "discarded": a rule decided so.
func (j *Journal) Discarded(e Attempt) {
	j.metrics.discarded.Add(len(e.To))
	j.tell(e.event("discarded"))
	j.write(slog.LevelInfo, "discarded", e.attrs()...)
}

// Failover writes "failover": these recipients go to another upstream.
func (j *Journal) Failover(e Attempt, to string) {
	j.metrics.failover.Add(len(e.To), e.Upstream, to)
	j.tell(e.event("failover"))
	j.write(slog.LevelWarn, "failover", e.attrs(append(e.failure(), slog.String("next_upstream", to))...)...)
}

// Divided writes "divided": a quota never has room for all these recipients at once.
func (j *Journal) Divided(e Attempt, quota string) {
	j.write(slog.LevelWarn, "divided", slog.String("id", e.ID), slog.String("message_id", e.MessageID), slog.String("from", e.From),
		slog.Int("recipients", len(e.To)), slog.String("upstream", e.Upstream), slog.String("quota", quota),
		slog.String("hint", "they go in as many parts as the quota asks for, the rest when it has room again"))
}

// Bounced writes "bounced": the sender was notified; bounce is the queue id of the report.
func (j *Journal) Bounced(e Attempt, bounce string) {
	j.metrics.bounced.Inc()
	j.write(slog.LevelInfo, "bounced", e.attrs(slog.String("bounce", bounce))...)
}

// Pruned writes "pruned" when failed mail is not kept any longer, or what was set aside in lost+found; recipients of
// the mail are in the history.
func (j *Journal) Pruned(messages int, bytes int64, aside int) {
	if messages+aside == 0 {
		return
	}
	j.metrics.pruned.Add(messages)
	j.write(slog.LevelWarn, "pruned", slog.Int("messages", messages), slog.Int64("bytes", bytes), slog.Int("set_aside", aside))
}

// UpstreamKnown shows an upstream of the config as open, or not; it writes no line.
func (j *Journal) UpstreamKnown(upstream string, open bool) {
	up := 0.0
	if open {
		up = 1
	}
	j.metrics.upstreamUp.Set(up, upstream)
}

// UpstreamClosed writes "upstream_closed": no mail is offered to it until a probe succeeds.
func (j *Journal) UpstreamClosed(upstream, reason string, err error, until time.Time) {
	j.metrics.upstreamUp.Set(0, upstream)
	j.metrics.closed.Inc(upstream, reason)
	j.tell(Event{Name: "upstream_closed", Upstream: upstream, Class: reason, Error: text(err)})
	level := slog.LevelError
	if reason == "quota" { // as the config asks for
		level = slog.LevelWarn
	}
	j.write(level, "upstream_closed", slog.String("upstream", upstream), slog.String("reason", reason),
		slog.Any("error", err), slog.Time("probe", until))
}

// UpstreamOpened writes "upstream_opened".
func (j *Journal) UpstreamOpened(upstream string, after time.Duration) {
	j.metrics.upstreamUp.Set(1, upstream)
	j.tell(Event{Name: "upstream_opened", Upstream: upstream})
	j.write(slog.LevelInfo, "upstream_opened", slog.String("upstream", upstream), slog.Int64("after_ms", after.Milliseconds()))
}

// SenderRefused writes "sender_refused": the account at an upstream may not send with a From; its mail waits.
func (j *Journal) SenderRefused(upstream, from string, err error) {
	j.metrics.senders.Inc(upstream)
	j.tell(Event{Name: "sender_refused", Upstream: upstream, Error: text(err)})
	j.write(slog.LevelError, "sender_refused", slog.String("upstream", upstream), slog.String("from", from), slog.Any("error", err))
}

// SenderTaken writes "sender_taken": mail with a From that was refused goes again.
func (j *Journal) SenderTaken(upstream, from string, after time.Duration) {
	j.tell(Event{Name: "sender_taken", Upstream: upstream})
	j.write(slog.LevelInfo, "sender_taken", slog.String("upstream", upstream), slog.String("from", from), slog.Int64("after_ms", after.Milliseconds()))
}

// UpstreamPaused writes "upstream_paused": an operator has it offered nothing.
func (j *Journal) UpstreamPaused(upstream, by string) {
	j.metrics.upstreamUp.Set(0, upstream)
	j.metrics.closed.Inc(upstream, "paused")
	j.metrics.operators.Inc("pause")
	j.tell(Event{Name: "upstream_paused", Upstream: upstream, Action: "pause", By: by})
	j.write(slog.LevelWarn, "upstream_paused", slog.String("upstream", upstream), slog.String("by", by))
}

// UpstreamResumed writes "upstream_resumed". It may have been closed for another reason meanwhile: then it is not open yet.
func (j *Journal) UpstreamResumed(upstream, by string, after time.Duration, open bool) {
	j.metrics.operators.Inc("resume")
	j.tell(Event{Name: "upstream_resumed", Upstream: upstream, Action: "resume", By: by})
	if open {
		j.metrics.upstreamUp.Set(1, upstream)
		j.tell(Event{Name: "upstream_opened", Upstream: upstream})
	}
	j.write(slog.LevelInfo, "upstream_resumed", slog.String("upstream", upstream), slog.String("by", by), slog.Int64("after_ms", after.Milliseconds()))
}

// NotRenewed writes "not_renewed": what an upstream logs in with, a token, is good until its end, zero where there is none.
func (j *Journal) NotRenewed(upstream, what string, err error, end time.Time) {
	attrs := []slog.Attr{slog.String("upstream", upstream), slog.String("what", what), slog.Any("error", err)}
	if !end.IsZero() {
		attrs = append(attrs, slog.Time("end", end))
	}
	j.write(slog.LevelWarn, "not_renewed", attrs...)
}

// Expiring writes "expiring": what an upstream logs in with ends soon, or has ended, and an operator must see to it.
func (j *Journal) Expiring(upstream, what string, end time.Time) {
	j.write(slog.LevelWarn, "expiring", slog.String("upstream", upstream), slog.String("what", what), slog.Time("end", end))
}

// ListenerExpiring writes "expiring": what a listener shows to its clients ends soon, or has ended.
func (j *Journal) ListenerExpiring(listener, what string, end time.Time) {
	j.write(slog.LevelWarn, "expiring", slog.String("listener", listener), slog.String("what", what), slog.Time("end", end))
}

// LoggedIn writes "logged_in": a person has given their consent.
func (j *Journal) LoggedIn(upstream string) {
	j.write(slog.LevelInfo, "logged_in", slog.String("upstream", upstream))
}

// PageOpened writes "page_opened": a client opened a link that was made for an account, by.
func (j *Journal) PageOpened(by, client string) {
	j.write(slog.LevelInfo, "page_opened", slog.String("by", by), slog.String("client", client))
}

// Reloaded writes "reloaded", or "reload_refused" when err is why the old config stays.
func (j *Journal) Reloaded(err error) {
	if err != nil {
		j.metrics.reloads.Inc("refused")
		j.tell(Event{Name: "reload_refused", Error: text(err)})
		j.write(slog.LevelError, "reload_refused", slog.String("error", err.Error()))
		return
	}
	j.metrics.reloads.Inc("ok")
	j.tell(Event{Name: "reloaded"})
	j.write(slog.LevelInfo, "reloaded")
}

// InternalError writes "internal_error": a part of the gateway itself failed; no mail was lost by it.
func (j *Journal) InternalError(where string, err error) {
	j.metrics.internalErrors.Inc(where)
	j.tell(Event{Name: "internal_error", Class: where, Error: text(err)})
	j.write(slog.LevelError, "internal_error", slog.String("where", where), slog.Any("error", err))
}

// AlertTold counts a message to the receiver of an alert, a heartbeat or a test among them, and writes "alert_sent" or
// "alert_failed"; a heartbeat or an event that arrived is only counted. alerts is how many it told.
func (j *Journal) AlertTold(alert, kind string, alerts int, took time.Duration, err error) {
	attrs := []slog.Attr{slog.String("alert", alert), slog.String("type", kind), slog.Int("alerts", alerts), slog.Int64("latency_ms", took.Milliseconds())}
	switch {
	case err != nil:
		j.metrics.alerts.Inc(alert, kind, "failed")
		j.write(slog.LevelWarn, "alert_failed", append(attrs, slog.String("error", err.Error()))...)
	default:
		j.metrics.alerts.Inc(alert, kind, "sent")
		if kind != "heartbeat" && kind != "event" {
			j.write(slog.LevelInfo, "alert_sent", attrs...)
		}
	}
}
