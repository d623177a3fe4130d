package admin

import (
	"context"
	"net/http"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
)

// collector reads the gauges of queue and upstreams at each scrape.
type collector struct {
	version   string
	queue     queue.Engine
	upstreams func() []api.Upstream                     // may be nil
	maildrop  func(most int) (*maildrop.Waiting, error) // may be nil
}

// Limits of scrapes.
const (
	collectTimeout = 10 * time.Second
	maxScrapes     = 8 // at once
)

// serveMetrics returns a handler that shows the metrics of all, and those that are read then.
func serveMetrics(all *meter.Registry, c *collector) http.Handler {
	turns := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		default:
			http.Error(w, "metrics are being read by others", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", meter.ContentType)
		if all != nil {
			w.Write(all.Text()) //nolint:errcheck // the client has gone
		}
		w.Write(c.collect(r.Context()).Text()) //nolint:errcheck // the same
	})
}

// collect reads the gauges. Those that cannot be read are not among them.
func (c *collector) collect(ctx context.Context) *meter.Registry {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	reg := meter.NewRegistry()
	gauge := func(name, help string, labels ...string) *meter.Gauge {
		g := meter.NewGauge("mailhatch_"+name, help, labels...)
		reg.Add(g)
		return g
	}
	gauge("build_info", "Always 1; the label is the version.", "version").Set(1, c.version)
	if c.upstreams != nil {
		collectUpstreams(c.upstreams(), time.Now(), gauge)
	}
	c.collectMaildrop(gauge)
	c.collectQueue(ctx, gauge)
	return reg
}

// newGauge makes a gauge that the scrape shows.
type newGauge func(name, help string, labels ...string) *meter.Gauge

func (c *collector) collectQueue(ctx context.Context, gauge newGauge) {
	depths, err := c.queue.Stats(ctx)
	if err != nil {
		return
	}
	parts := gauge("queue_parts", "Groups of recipients that wait together, by state.", "state")
	size := gauge("queue_bytes", "Bytes of the messages that wait, by state.", "state")
	oldest := gauge("queue_oldest_seconds", "Age of the oldest message that waits, by state.", "state")
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		d, age := depths[state], 0.0
		if !d.Oldest.IsZero() {
			age = max(0, time.Since(d.Oldest).Seconds())
		}
		parts.Set(float64(d.Parts), string(state))
		size.Set(float64(d.Bytes), string(state))
		oldest.Set(age, string(state))
	}
	health, err := c.queue.Health(ctx)
	if err != nil {
		return
	}
	gauge("queue_log_bytes", "Bytes of the queue's log where it cannot be carried over.").Set(float64(health.LogBytes))
	gauge("queue_aside", "Bodies without a message that were set aside.").Set(float64(health.Aside))
	if db := health.Database; db != nil {
		dead := gauge("database_dead_rows", "Rows that are gone and not removed yet, by table: parts is what waits, messages and bodies what it consists of.", "table")
		size := gauge("database_bytes", "Size of these tables, with their indexes.", "table")
		for _, t := range db.Tables {
			dead.Set(float64(t.Dead), t.Name)
			size.Set(float64(t.Bytes), t.Name)
		}
		gauge("database_snapshot_seconds", "Age of the oldest transaction that keeps such rows from being removed.").Set(db.Snapshot.Seconds())
		gauge("database_claim_seconds", "What the slowest claim of due mail took within the last minute or two.").Set(db.Claim.Seconds())
	}
	lanes, err := c.queue.Lanes(ctx)
	if err != nil {
		return
	}
	queued := gauge("queue_upstream_parts", "Queued groups of recipients by the upstream they wait for.", "upstream")
	for name, lane := range lanes {
		queued.Set(float64(lane.Queued), name)
	}
}

// collectMaildrop shows what waits beside the queue.
func (c *collector) collectMaildrop(gauge newGauge) {
	if c.maildrop == nil {
		return
	}
	w, err := c.maildrop(0)
	if err != nil {
		return
	}
	age := 0.0
	if !w.Oldest.IsZero() {
		age = max(0, time.Since(w.Oldest).Seconds())
	}
	gauge("maildrop_messages", "Messages that sendmail left while the gateway was down and that are not taken in yet.").Set(float64(w.Count))
	gauge("maildrop_bytes", "Bytes of these messages.").Set(float64(w.Bytes))
	gauge("maildrop_oldest_seconds", "Age of the oldest of them.").Set(age)
	gauge("maildrop_refused", "Messages of the maildrop that could not be taken in and were set aside.").Set(float64(w.Refused))
}

// collectUpstreams shows what each upstream does and how long it can log in.
func collectUpstreams(all []api.Upstream, now time.Time, gauge newGauge) {
	inFlight := gauge("upstream_in_flight", "Offers to an upstream that are under way.", "upstream")
	quotaLeft := gauge("upstream_quota_left", "Recipients that are left of a quota of an upstream.", "upstream", "quota")
	tokenAge := gauge("upstream_token_age_seconds", "Age of the access token that logs in to an upstream.", "upstream")
	tokenExpires := gauge("upstream_token_expires_seconds", "Time until the access token ends; negative after its end.", "upstream")
	certificateExpires := gauge("upstream_certificate_expires_seconds",
		"Time until the certificate ends that logs in to an upstream; negative after its end.", "upstream")
	for _, u := range all {
		inFlight.Set(float64(u.InFlight), u.Name)
		for _, q := range u.Quota {
			quotaLeft.Set(float64(q.Left), u.Name, q.Limit)
		}
		for _, e := range u.Expiries {
			if e.At.IsZero() {
				continue
			}
			switch e.Name {
			case "token":
				tokenExpires.Set(e.At.Sub(now).Seconds(), u.Name)
				if !e.Since.IsZero() {
					tokenAge.Set(max(0, now.Sub(e.Since).Seconds()), u.Name)
				}
			case "certificate":
				certificateExpires.Set(e.At.Sub(now).Seconds(), u.Name)
			}
		}
	}
}
