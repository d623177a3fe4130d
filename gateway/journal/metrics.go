package journal

import "mailhatch/gateway/meter"

// metrics are the counters beside the events. doc/operations.md lists them; a test keeps the two alike.
type metrics struct {
	accepted, acceptedBytes, rejected         *meter.Counter
	attempts, sent, deferred, failed          *meter.Counter
	failover, closed, reloads, internalErrors *meter.Counter
	senders                                   *meter.Counter
	operators                                 *meter.Counter
	held, discarded, bounced, pruned          *meter.Counter
	commit, age                               *meter.Histogram
	latency                                   *meter.Histogram
	upstreamUp                                *meter.Gauge
	alerts                                    *meter.Counter
	told, toldNothing, polls, requests        *meter.Counter
	suppressed, lifted                        *meter.Counter
	canaryOK                                  *meter.Gauge
	canary                                    *meter.Histogram
}

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *meter.Counter {
		return meter.NewCounter("mailhatch_"+name, help, labels...)
	}
	seconds := func(name, help string, bounds []float64, labels ...string) *meter.Histogram {
		return meter.NewHistogram("mailhatch_"+name, help, bounds, labels...)
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
		senders:        counter("sender_refused_total", "Times an upstream began to refuse mail for its From.", "upstream"),
		reloads:        counter("reloads_total", "Reloads of the config, by result.", "result"),
		internalErrors: counter("internal_errors_total", "Internal errors of the gateway, by place.", "where"),
		operators:      counter("operator_actions_total", "What operators did to the queue and to upstreams, by action.", "action"),
		alerts:         counter("alert_messages_total", "Messages to receivers of alerts, by type (alert, heartbeat, test) and result.", "alert", "type", "result"),
		told:           counter("events_total", "What providers told later of recipients, by event.", "upstream", "event"),
		toldNothing:    counter("events_unused_total", "What providers told later and changes nothing: known already, dropped or skipped.", "upstream", "result"),
		polls:          counter("event_polls_total", "Questions to providers' logs, by result.", "upstream", "result"),
		requests:       counter("event_requests_total", "Webhook requests of providers, by the status of the answer.", "upstream", "status"),
		suppressed:     counter("suppressed_total", "Addresses that an event put on the list of those that get no mail, by reason.", "reason"),
		lifted:         counter("suppressed_lifted_total", "Addresses that a later delivery took off that list."),
		canaryOK:       meter.NewGauge("mailhatch_canary_ok", "1 while canaries through the upstream arrive, 0 while they do not.", "upstream"),
		canary:         seconds("canary_seconds", "Time from sending a canary until it was known to have arrived.", long, "upstream"),
		held:           counter("held_total", "Recipients held."),
		discarded:      counter("discarded_total", "Recipients discarded, by a rule or an operator."),
		bounced:        counter("bounced_total", "Bounces submitted."),
		pruned:         counter("failed_pruned_total", "Failed messages that are not kept any longer."),
		commit:         seconds("commit_seconds", "Time to make a message durable.", meter.Doubling(.0002, 16)),
		age:            seconds("delivery_age_seconds", "Age of messages when an upstream took them.", long),
		latency:        seconds("attempt_seconds", "Time of one offer to an upstream.", meter.Doubling(.001, 17), "upstream"),
		upstreamUp:     meter.NewGauge("mailhatch_upstream_open", "1 while mail is offered to the upstream, 0 while it is closed.", "upstream"),
	}
}

func (m *metrics) register(reg *meter.Registry) {
	reg.Add(m.accepted, m.acceptedBytes, m.rejected, m.attempts, m.sent, m.deferred, m.failed, m.failover,
		m.closed, m.senders, m.reloads, m.internalErrors, m.operators, m.held, m.discarded, m.bounced, m.pruned, m.commit, m.age, m.latency, m.upstreamUp, m.alerts,
		m.told, m.toldNothing, m.polls, m.requests, m.suppressed, m.lifted, m.canaryOK, m.canary)
}
