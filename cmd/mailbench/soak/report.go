package soak

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/measure"
)

// outcome is what came of a soak.
type outcome struct {
	machine   host.Machine
	soak      *soak
	load      *load.Result
	reloads   int
	outage    time.Duration
	crashes   crashes
	slow      int           // clients that were served slowly on purpose
	stalls    int           // times that nobody read the log
	memory    []int64       // PSS in bytes, a look a second
	drained   time.Duration // below 0: not all came in time
	stopErr   error
	left      map[string]int // parts in the queue after the end, by state
	tally     tally
	doubled   []string // by the relay, for no reason that is known
	conflicts int
}

// flatAfter is the time from which on memory must be flat: a shorter run is over before it has settled.
const flatAfter = 5 * time.Minute

// growth compares the first quarter with the last. The start of the first one, when the program has no
// load yet, is left out.
func (r *outcome) growth() (first, last int64) {
	quarter := len(r.memory) / 4
	if quarter == 0 {
		return 0, 0
	}
	return mean(r.memory[quarter/4 : quarter]), mean(r.memory[len(r.memory)-quarter:])
}

func mean(list []int64) (m int64) {
	if len(list) == 0 {
		return 0
	}
	for _, v := range list {
		m += v
	}
	return m / int64(len(list))
}

// verdict reports what is wrong; nil when the contract was kept.
func (r *outcome) verdict() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	t := r.tally
	wrong(t.acked == 0, "nothing was accepted: %v", r.load.Problems)
	wrong(t.lost > 0, "%d acknowledged recipients got nothing", t.lost)
	wrong(t.apiDoubles > 0, "%d duplicates at Resend, which knows idempotency keys", t.apiDoubles)
	wrong(t.unexplained > 0, "%d duplicates at the relay without a lost reply: %s", t.unexplained, strings.Join(r.doubled, "; "))
	wrong(t.strange > 0, "%d messages that nobody sent", t.strange)
	wrong(r.crashes.silent > 0, "%d starts with a damaged log were not refused and lost frames", r.crashes.silent)
	wrong(r.conflicts > 0, "%d idempotency keys came with another body", r.conflicts)
	wrong(len(r.left) > 0, "the queue holds %v after all was delivered", r.left)
	wrong(r.stopErr != nil, "the end: %v", r.stopErr)
	first, last := r.growth()
	wrong(r.soak.duration >= flatAfter && last > first+first/4+8<<20, "the memory grew from %s to %s MiB", measure.MiB(first), measure.MiB(last))
	return errors.Join(errs...)
}

// write prints Markdown for people.
func (r *outcome) write(w io.Writer) error {
	var b strings.Builder
	r.machine.Write(&b)
	t := r.tally
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s of load, %.0f messages/s of %s, %.3g %% of offers fail. `mailbench soak -duration %s`\n\n| | |\n|---|--:|\n",
		r.soak.duration, r.soak.rate, measure.KiB(r.soak.size), 100*r.soak.faults, r.soak.duration)
	row("messages acknowledged", "%d", t.acked)
	row("recipients of these", "%d", t.recipients)
	row("messages/s", "%.0f", r.load.PerSecond)
	row("refused or broken off", "%d", r.load.Lost())
	row("due to 250, p50 / p99 / longest", "%.1f / %.1f / %.0f ms", r.load.Latency.P50, r.load.Latency.P99, r.load.Latency.Max)
	row("reloads", "%d", r.reloads)
	row("relay away for", "%s", r.outage.Round(time.Second))
	row("killed, of these with a damaged log", "%d, %d", r.crashes.kills, r.crashes.damaged)
	row("starts refused until `mailhatch recover`, messages it put back", "%d, %d", r.crashes.refused, r.crashes.restored)
	row("clock ten days ahead", "%d times", r.crashes.steps)
	row("slow clients, log reader stalled", "%d, %d times", r.slow, r.stalls)
	row("rest delivered after the load", "%s", r.drainTime())
	row("**lost**", "**%d**", t.lost)
	row("**duplicates at Resend**", "**%d**", t.apiDoubles)
	row("duplicates at the relay after a lost reply or a kill", "%d of %d", t.doubles, t.lostReplies)
	row("**other duplicates at the relay**", "**%d**", t.unexplained)
	if first, last := r.growth(); first > 0 {
		row("PSS, first quarter", "%s MiB", measure.MiB(first))
		row("PSS, last quarter", "%s MiB", measure.MiB(last))
		row("PSS, greatest", "%s MiB", measure.MiB(slices.Max(r.memory)))
	}
	b.WriteString("\nFaults: ")
	counts := r.soak.api.faults.counts()
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	b.WriteString(strings.Join(list, ", ") + ".\n")
	if n := r.load.Lost(); n > 0 {
		fmt.Fprintf(&b, "\nNot acknowledged: %v\n", r.load.Problems)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *outcome) drainTime() string {
	if r.drained < 0 {
		return "not within " + r.soak.drain.String()
	}
	return fmt.Sprintf("%.1f s", r.drained.Seconds())
}
