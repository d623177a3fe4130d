package peers

import (
	"context"
	"fmt"

	"mailhatch/cmd/mailbench/measure"
)

// group is a set of lines that are measured together.
type group struct {
	name  string
	lines []string
	about string
	run   func(context.Context, *rig, *Outcome) error
}

// groups lists all of them, in the order of the table.
func groups() []group {
	return []group{
		acceptGroup("accept-16", measure.Case{Size: 4096, Sessions: 16}, bounds{6, 9, 0.45, 0.65}),
		acceptGroup("accept-64", measure.Case{Size: 4096, Sessions: 64}, bounds{9, 13, 0.60, 0.85}),
		acceptGroup("accept-1", measure.Case{Size: 4096, Sessions: 1}, bounds{2, 3, 0, 0}),
		acceptGroup("accept-64k", measure.Case{Size: 65536, Sessions: 16}, bounds{2.5, 4, 0, 0}),
		acceptGroup("connections", measure.Case{Size: 4096, Sessions: 16, PerConnection: 1}, bounds{4, 6, 0, 0}),
		{"relay-smtp", []string{"relay-smtp", "beside-16", "cpu"}, "accepted and delivered to an SMTP upstream, 16 sessions, 4 KiB", relaySMTP},
		{"relay-http", []string{"relay-http", "beside-64", "memory-64"}, "accepted and delivered to Resend's API (Postfix: by SMTP), 64 sessions, 4 KiB", relayHTTP},
		{"slow", []string{"slow"}, "an upstream that takes 200 ms", slow},
		{"backpressure", []string{"backpressure"}, "delivery that cannot keep up: acceptance and memory while the queue grows", backpressure},
		{"outage", []string{"outage", "drain", "memory-queued"}, "10,000 queued while the upstream is down; it returns", outage},
		{"idle", []string{"memory-idle", "start-empty"}, "memory of a server that does nothing; start with an empty queue", idle},
		{"start-queued", []string{"start-queued"}, "start with 100,000 queued", startQueued},
		{"million", []string{"million"}, "acceptance and memory with 1,000,000 queued", million},
		{"durable", []string{"durable"}, "strace: each 250 after the fsync of what it promises", durable},
		{"recipients", []string{"recipients"}, "one message to 1,000 recipients", recipients},
		{"clients", []string{"clients"}, "1,900 connections that wait, then send one message each", clients},
		{"rest", []string{"rest"}, "strace: how often a server wakes that does nothing", rest},
		{"large", []string{"large"}, "messages of 35 MB from 64 sessions", large},
		{"cold", []string{"cold"}, "start with 1,000,000 queued and as many in the history", cold},
		{"upkeep", []string{"upkeep"}, "the slowest acceptance while backups are made and the log is carried over", upkeep},
		{"binary", []string{"binary"}, "size of the program", binary},
	}
}

// sessions counts them in words.
func sessions(n int) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

// bounds are what is asked of durable acceptance: times Postfix and share of the no-op queue, at least
// and to aim at. 0: nothing.
type bounds struct{ postfix, postfixAim, noop, noopAim float64 }

// acceptGroup measures acceptance alone: all mail is held in the queue.
func acceptGroup(name string, c measure.Case, ask bounds) group {
	c.Upstream = "hold"
	lines := []string{name}
	if name == "accept-16" {
		lines = append(lines, "p99")
	}
	what := fmt.Sprintf("durable accept, all held in the queue, %s, %s", measure.KiB(c.Size), sessions(c.Sessions))
	if c.PerConnection > 0 {
		what += ", a connection for each message"
	}
	return group{name, lines, what, func(ctx context.Context, b *rig, o *Outcome) error {
		o.Rows = b.turns(ctx, c, "mailhatch", "no-op", "Postfix")
		o.acceptChecks(name, what, ask)
		if name == "accept-16" {
			p99 := func(r measure.Row) float64 { return r.Load.Latency.P99 }
			o.Checks = append(o.Checks, ratio("p99", "p99 of MAIL to 250 in "+name, "%.2f ms", medianOf(o.Rows, "mailhatch", p99), "Postfix", medianOf(o.Rows, "Postfix", p99)).atMost(0.4, 0.1))
		}
		if c.PerConnection > 0 {
			refused := medianOf(o.Rows, "mailhatch", func(r measure.Row) float64 { return float64(r.Load.Lost()) })
			o.Checks = append(o.Checks, amount(name, "messages refused or broken", "%.0f", refused).atMost(0, 0))
		}
		return nil
	}}
}

// acceptChecks compares the accept rates.
func (o *Outcome) acceptChecks(line, what string, ask bounds) {
	toPostfix := o.accepting(line, what)
	noop := medianOf(o.Rows, "no-op", accepted)
	toNoop := ratio(line, "the same, share of the server with a no-op queue", "%.0f/s", toPostfix.Ours, "no-op", noop)
	if ask.noop > 0 {
		toNoop = toNoop.atLeast(ask.noop, ask.noopAim)
	}
	o.Checks = append(o.Checks, toPostfix.atLeast(ask.postfix, ask.postfixAim), toNoop)
}

// accepting compares how fast mailhatch and Postfix accept.
func (o *Outcome) accepting(line, what string) Check {
	return ratio(line, what, "%.0f/s", medianOf(o.Rows, "mailhatch", accepted), "Postfix", medianOf(o.Rows, "Postfix", accepted))
}

func accepted(r measure.Row) float64 { return r.Accept }

func delivered(r measure.Row) float64 { return r.Delivered }

// relaySMTP measures the whole way to an SMTP upstream and what it costs.
func relaySMTP(ctx context.Context, b *rig, o *Outcome) error {
	b.needRelay(ctx)
	o.Rows = b.turns(ctx, measure.Case{Upstream: "smtp", Size: 4096, Sessions: 16}, "mailhatch", "Postfix", "smtprelay", "direct")
	of := func(server string) float64 { return medianOf(o.Rows, server, delivered) }
	cpu := func(server string) float64 {
		return medianOf(o.Rows, server, func(r measure.Row) float64 { return r.CPU })
	}
	const what = "end to end to SMTP, 16 sessions"
	o.Checks = append(o.Checks, ratio("relay-smtp", what, "%.0f/s", of("mailhatch"), "Postfix", of("Postfix")).atLeast(5, 8))
	if b.servers["smtprelay"] != nil {
		o.Checks = append(o.Checks, ratio("relay-smtp", what, "%.0f/s", of("mailhatch"), "smtprelay (no queue)", of("smtprelay")).atLeast(1.3, 2.5))
	}
	o.Checks = append(o.Checks, o.accepting("beside-16", "accept while delivering to SMTP, 16 sessions").atLeast(6, 9),
		ratio("relay-smtp", what, "%.0f/s", of("mailhatch"), "mailhatch without queue (mode = direct)", of("direct")),
		ratio("cpu", "CPU for each message, end to end", "%.0f µs", cpu("mailhatch"), "Postfix", cpu("Postfix")).atMost(0.15, 0.08))
	return nil
}

// relayHTTP measures the whole way to an API. Postfix speaks none: it has the same load to an SMTP sink.
func relayHTTP(ctx context.Context, b *rig, o *Outcome) error {
	api, smtp := measure.Case{Upstream: "resend", Size: 4096, Sessions: 64}, measure.Case{Upstream: "smtp", Size: 4096, Sessions: 64}
	for range b.rounds {
		once := *b
		once.rounds = 1
		o.Rows = append(o.Rows, once.turns(ctx, api, "mailhatch")...)
		o.Rows = append(o.Rows, once.turns(ctx, smtp, "Postfix")...)
		o.Rows = append(o.Rows, once.turns(ctx, api, "direct")...)
	}
	of := func(server string) float64 { return medianOf(o.Rows, server, delivered) }
	pss := func(server string) float64 {
		return medianOf(o.Rows, server, func(r measure.Row) float64 { return float64(r.PSS) / (1 << 20) })
	}
	const what = "end to end to an HTTP API, 64 sessions"
	o.Checks = append(o.Checks, o.accepting("beside-64", "accept while delivering to an HTTP API (Postfix: to SMTP), 64 sessions").atLeast(9, 13),
		ratio("relay-http", what, "%.0f/s", of("mailhatch"), "Postfix (to SMTP)", of("Postfix")).atLeast(4, 6),
		amount("relay-http", what+" (Posthorn, text only and without a queue: 2,120/s on such a machine)", "%.0f/s", of("mailhatch")).aimFor(2120),
		ratio("relay-http", what, "%.0f/s", of("mailhatch"), "mailhatch without queue (mode = direct)", of("direct")),
		ratio("memory-64", "greatest PSS under 64 sessions, delivering", "%.1f MiB", pss("mailhatch"), "Postfix", pss("Postfix")),
		amount("memory-64", "the same", "%.1f MiB", pss("mailhatch")).atMost(90, 50))
	o.note("SKIPPED: aws-smtp-relay, a relay without a queue: the module proxy did not serve it, so the sink does not speak Amazon's API; mode = direct is the relay without a queue that is compared with")
	return nil
}
