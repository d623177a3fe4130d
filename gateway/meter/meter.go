// Package meter counts what happens and shows the counts in the text format of Prometheus,
// https://prometheus.io/docs/instrumenting/exposition_formats/
package meter

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// Metric is a Counter, a Gauge, a Histogram or Process.
type Metric interface {
	// Name returns the name, as a scrape shows it.
	Name() string
	// write appends the text of all series.
	write(b *bytes.Buffer)
}

// Registry is what a scrape shows. It is safe for concurrent use.
type Registry struct {
	mu  sync.Mutex
	all []Metric
}

// NewRegistry returns a registry of these metrics.
func NewRegistry(all ...Metric) *Registry {
	metrics.ExposeMetadata(true) // also of those that come from the library
	return &Registry{all: all}
}

// Add adds metrics.
func (r *Registry) Add(all ...Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, all...)
}

// Names returns the names of all metrics.
func (r *Registry) Names() []string {
	var names []string
	for _, m := range r.snapshot() {
		names = append(names, m.Name())
	}
	return names
}

// ContentType is that of Text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Text returns all metrics, sorted by their names. Those with labels appear when something was counted.
func (r *Registry) Text() []byte {
	named := map[string]Metric{}
	for _, m := range r.snapshot() {
		named[m.Name()] = m
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(named)) {
		named[name].write(&b)
	}
	return b.Bytes()
}

func (r *Registry) snapshot() []Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Process is what Go and the operating system say of the process: go_*, process_*.
type Process struct{}

// Name implements Metric.
func (Process) Name() string { return "process" }

func (Process) write(b *bytes.Buffer) {
	metrics.WriteProcessMetrics(b)
	metrics.WriteFDMetrics(b)
}

// Counter counts up. Its methods take the values of its labels, in the order of NewCounter.
type Counter struct{ *family[metrics.Counter] }

// NewCounter returns a counter for each set of values of labels, or one without labels.
func NewCounter(name, help string, labels ...string) *Counter {
	return &Counter{newFamily(name, help, labels, (*metrics.Set).NewCounter)}
}

// Inc adds one.
func (c *Counter) Inc(values ...string) { c.of(values).Inc() }

// Add adds n, which is not negative.
func (c *Counter) Add(n int, values ...string) { c.of(values).Add(n) }

// Value returns the count.
func (c *Counter) Value(values ...string) uint64 { return c.of(values).Get() }

// Gauge is a value that goes up and down.
type Gauge struct{ *family[metrics.Gauge] }

// NewGauge is like NewCounter.
func NewGauge(name, help string, labels ...string) *Gauge {
	return &Gauge{newFamily(name, help, labels, func(s *metrics.Set, series string) *metrics.Gauge { return s.NewGauge(series, nil) })}
}

// Set sets the value.
func (g *Gauge) Set(v float64, values ...string) { g.of(values).Set(v) }

// Histogram counts values by buckets.
type Histogram struct {
	*family[metrics.PrometheusHistogram]
}

// NewHistogram is like NewCounter. bounds are the upper ends of the buckets, in ascending order.
func NewHistogram(name, help string, bounds []float64, labels ...string) *Histogram {
	return &Histogram{newFamily(name, help, labels, func(s *metrics.Set, series string) *metrics.PrometheusHistogram {
		return s.NewPrometheusHistogramExt(series, bounds)
	})}
}

// Observe counts v, which is not negative.
func (h *Histogram) Observe(v float64, values ...string) { h.of(values).Update(v) }

// Doubling returns n bounds of buckets, the first and each next twice as large.
func Doubling(first float64, n int) []float64 { return metrics.ExponentialBuckets(first, 2, n) }

// family is a metric with a series for each set of values of its labels.
type family[T any] struct {
	name, help string
	labels     []string
	order      []int // of the labels by their names, as a scrape shows them
	create     func(set *metrics.Set, series string) *T
	set        *metrics.Set

	mu sync.RWMutex
	by map[string]*T // values of the labels, each with a zero byte behind it
}

func newFamily[T any](name, help string, labels []string, create func(*metrics.Set, string) *T) *family[T] {
	f := &family[T]{name: name, help: help, labels: labels, create: create, set: metrics.NewSet(), by: map[string]*T{}}
	for _, label := range slices.Sorted(slices.Values(labels)) {
		f.order = append(f.order, slices.Index(labels, label))
	}
	if len(labels) == 0 {
		f.of(nil) // a zero is shown, too
	}
	return f
}

// Name implements Metric.
func (f *family[T]) Name() string { return f.name }

// of returns the series of these values.
func (f *family[T]) of(values []string) *T {
	if len(values) != len(f.labels) {
		panic(fmt.Sprintf("meter: %s has the labels %q, not the values %q", f.name, f.labels, slices.Clone(values))) // a mistake of the caller
	}
	var room [128]byte
	key := room[:0]
	for _, v := range values {
		key = append(append(key, v...), 0)
	}
	f.mu.RLock()
	series, ok := f.by[string(key)]
	f.mu.RUnlock()
	if ok {
		return series
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if series, ok = f.by[string(key)]; !ok {
		series = f.create(f.set, f.series(values))
		f.by[string(key)] = series
	}
	return series
}

// series returns the name with the labels.
func (f *family[T]) series(values []string) string {
	if len(values) == 0 {
		return f.name
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var pairs []string
	for _, i := range f.order {
		pairs = append(pairs, f.labels[i]+`="`+escape.Replace(strings.ToValidUTF8(values[i], "\ufffd"))+`"`)
	}
	return f.name + "{" + strings.Join(pairs, ",") + "}"
}

// write implements Metric. The library knows the type, and leaves the help empty.
func (f *family[T]) write(b *bytes.Buffer) {
	var text bytes.Buffer
	f.set.WritePrometheus(&text)
	empty := []byte("# HELP " + f.name + "\n")
	if rest, ok := bytes.CutPrefix(text.Bytes(), empty); ok {
		fmt.Fprintf(b, "# HELP %s %s\n%s", f.name, f.help, rest)
	}
}
