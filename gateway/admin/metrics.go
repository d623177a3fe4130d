package admin

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

// collector reads the gauges of queue and upstreams at each scrape.
type collector struct {
	queue     queue.Engine
	upstreams func() []Upstream                         // may be nil
	maildrop  func(most int) (*maildrop.Waiting, error) // may be nil
}

const collectTimeout = 10 * time.Second

func queueParts() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_queue_parts", "Groups of recipients that wait together, by state.", []string{"state"}, nil)
}

func queueBytes() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_queue_bytes", "Bytes of the messages that wait, by state.", []string{"state"}, nil)
}

func queueOldest() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_queue_oldest_seconds", "Age of the oldest message that waits, by state.", []string{"state"}, nil)
}

func queueUpstream() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_queue_upstream_parts", "Queued groups of recipients by the upstream they wait for.", []string{"upstream"}, nil)
}

func queueLog() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_queue_log_bytes", "Bytes of the queue's log where it cannot be carried over.", nil, nil)
}

func queueAside() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_queue_aside", "Bodies without a message that were set aside.", nil, nil)
}

func inFlight() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_upstream_in_flight", "Offers to an upstream that are under way.", []string{"upstream"}, nil)
}

func tokenAge() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_upstream_token_age_seconds", "Age of the access token that logs in to an upstream.", []string{"upstream"}, nil)
}

func tokenExpires() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_upstream_token_expires_seconds", "Time until the access token ends; negative after its end.", []string{"upstream"}, nil)
}

func certificateExpires() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_upstream_certificate_expires_seconds", "Time until the certificate ends that logs in to an upstream; negative after its end.",
		[]string{"upstream"}, nil)
}

func quotaLeft() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_upstream_quota_left", "Recipients that are left of a quota of an upstream.", []string{"upstream", "quota"}, nil)
}

func dropMessages() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_maildrop_messages", "Messages that sendmail left while the gateway was down and that are not taken in yet.", nil, nil)
}

func dropBytes() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_maildrop_bytes", "Bytes of these messages.", nil, nil)
}

func dropOldest() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_maildrop_oldest_seconds", "Age of the oldest of them.", nil, nil)
}

func dropRefused() *prometheus.Desc {
	return prometheus.NewDesc("mailhatch_maildrop_refused", "Messages of the maildrop that could not be taken in and were set aside.", nil, nil)
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "mailhatch_build_info", Help: "Always 1; the label is the version.",
		ConstLabels: prometheus.Labels{"version": version}})
	g.Set(1)
	return g
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueParts(), queueBytes(), queueOldest(), queueUpstream(), queueLog(), queueAside(), inFlight(),
		quotaLeft(), tokenAge(), tokenExpires(), certificateExpires(), dropMessages(), dropBytes(), dropOldest(), dropRefused()} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if c.upstreams != nil {
		for _, u := range c.upstreams() {
			gauge(inFlight(), float64(u.InFlight), u.Name)
			collectExpiries(u, time.Now(), gauge)
			for _, q := range u.Quota {
				gauge(quotaLeft(), float64(q.Left), u.Name, q.Limit)
			}
		}
	}
	c.collectMaildrop(ch, gauge)
	depths, err := c.queue.Stats(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(queueParts(), err)
		return
	}
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		d, age := depths[state], 0.0
		if !d.Oldest.IsZero() {
			age = max(0, time.Since(d.Oldest).Seconds())
		}
		gauge(queueParts(), float64(d.Parts), string(state))
		gauge(queueBytes(), float64(d.Bytes), string(state))
		gauge(queueOldest(), age, string(state))
	}
	health, err := c.queue.Health(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(queueLog(), err)
		return
	}
	ch <- prometheus.MustNewConstMetric(queueLog(), prometheus.GaugeValue, float64(health.LogBytes))
	ch <- prometheus.MustNewConstMetric(queueAside(), prometheus.GaugeValue, float64(health.Aside))
	lanes, err := c.queue.Lanes(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(queueUpstream(), err)
		return
	}
	for name, lane := range lanes {
		gauge(queueUpstream(), float64(lane.Queued), name)
	}
}

// collectMaildrop shows what waits beside the queue.
func (c *collector) collectMaildrop(ch chan<- prometheus.Metric, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	if c.maildrop == nil {
		return
	}
	w, err := c.maildrop(0)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(dropMessages(), err)
		return
	}
	age := 0.0
	if !w.Oldest.IsZero() {
		age = max(0, time.Since(w.Oldest).Seconds())
	}
	gauge(dropMessages(), float64(w.Count))
	gauge(dropBytes(), float64(w.Bytes))
	gauge(dropOldest(), age)
	gauge(dropRefused(), float64(w.Refused))
}

// collectExpiries shows how long an upstream can log in.
func collectExpiries(u Upstream, now time.Time, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	for _, e := range u.Expiries {
		if e.At.IsZero() {
			continue
		}
		switch e.Name {
		case "token":
			gauge(tokenExpires(), e.At.Sub(now).Seconds(), u.Name)
			if !e.Since.IsZero() {
				gauge(tokenAge(), max(0, now.Sub(e.Since).Seconds()), u.Name)
			}
		case "certificate":
			gauge(certificateExpires(), e.At.Sub(now).Seconds(), u.Name)
		}
	}
}
