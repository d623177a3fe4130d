package journal

import "github.com/prometheus/client_golang/prometheus"

// metrics are the counters beside the events. doc/operations.md lists them; a test keeps the two alike.
type metrics struct {
	accepted, acceptedBytes, rejected         *prometheus.CounterVec
	attempts, sent, deferred, failed          *prometheus.CounterVec
	failover, closed, reloads, internalErrors *prometheus.CounterVec
	operators                                 *prometheus.CounterVec
	held, discarded, bounced, pruned          prometheus.Counter
	commit, age                               prometheus.Histogram
	latency                                   *prometheus.HistogramVec
	upstreamUp                                *prometheus.GaugeVec
	alerts                                    *prometheus.CounterVec
}

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mailhatch_" + name, Help: help}, labels)
	}
	plain := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "mailhatch_" + name, Help: help})
	}
	seconds := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "mailhatch_" + name, Help: help, Buckets: buckets}
	}
	long := []float64{.01, .05, .1, .5, 1, 5, 30, 120, 600, 3600, 21600, 86400}
	return metrics{
		accepted:       counter("accepted_total", "Messages accepted.", "listener"),
		acceptedBytes:  counter("accepted_bytes_total", "Bytes of messages accepted.", "listener"),
		rejected:       counter("rejected_total", "Mail and clients refused, by stage of the session.", "stage"),
		attempts:       counter("attempts_total", "Offers to an upstream by class of the outcome (sent for success).", "upstream", "class"),
		sent:           counter("sent_total", "Recipients that an upstream took.", "upstream"),
		deferred:       counter("deferred_total", "Recipients deferred, by class of the failure.", "upstream", "class"),
		failed:         counter("failed_total", "Recipients given up, by class of the failure.", "upstream", "class"),
		failover:       counter("failover_total", "Recipients that went on to another upstream.", "upstream", "next"),
		closed:         counter("upstream_closed_total", "Times an upstream was closed, by reason.", "upstream", "reason"),
		reloads:        counter("reloads_total", "Reloads of the config, by result.", "result"),
		internalErrors: counter("internal_errors_total", "Internal errors of the gateway, by place.", "where"),
		operators:      counter("operator_actions_total", "What operators did to the queue and to upstreams, by action.", "action"),
		alerts:         counter("alert_messages_total", "Messages to receivers of alerts, by type (alert, heartbeat, test) and result.", "alert", "type", "result"),
		held:           plain("held_total", "Recipients held."),
		discarded:      plain("discarded_total", "Recipients discarded, by a rule or an operator."),
		bounced:        plain("bounced_total", "Bounces submitted."),
		pruned:         plain("failed_pruned_total", "Failed messages that are not kept any longer."),
		commit:         prometheus.NewHistogram(seconds("commit_seconds", "Time to make a message durable.", prometheus.ExponentialBuckets(.0002, 2, 16))),
		age:            prometheus.NewHistogram(seconds("delivery_age_seconds", "Age of messages when an upstream took them.", long)),
		latency: prometheus.NewHistogramVec(seconds("attempt_seconds", "Time of one offer to an upstream.",
			prometheus.ExponentialBuckets(.001, 2, 17)), []string{"upstream"}),
		upstreamUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mailhatch_upstream_open",
			Help: "1 while mail is offered to the upstream, 0 while it is closed."}, []string{"upstream"}),
	}
}

func (m *metrics) register(reg prometheus.Registerer) {
	reg.MustRegister(m.accepted, m.acceptedBytes, m.rejected, m.attempts, m.sent, m.deferred, m.failed, m.failover,
		m.closed, m.reloads, m.internalErrors, m.operators, m.held, m.discarded, m.bounced, m.pruned, m.commit, m.age, m.latency, m.upstreamUp, m.alerts)
}
