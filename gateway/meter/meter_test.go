package meter

import (
	"bytes"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// odd is a value of a label that has to be escaped.
const odd = "a \"b\" \\c\nd,e={f}"

func filled() *Registry {
	sent := NewCounter("sent_total", "Mail sent.", "upstream", "class")
	sent.Inc("main", "ok")
	sent.Add(4, "main", "ok")
	sent.Inc(odd, "\xff")
	age := NewHistogram("age_seconds", "Age.", Doubling(.5, 3), "upstream")
	for _, v := range []float64{.5, .6, 1.5, 9} {
		age.Observe(v, "main")
	}
	up := NewGauge("up", "Whether it is up.", "upstream")
	up.Set(-1.25, "main")
	r := NewRegistry(up, NewCounter("never_total", "Nothing has a series.", "x"))
	r.Add(sent, age, NewCounter("held_total", "Held."))
	return r
}

func TestText(t *testing.T) {
	const want = `# HELP age_seconds Age.
# TYPE age_seconds histogram
age_seconds_bucket{upstream="main",le="0.5"} 1
age_seconds_bucket{upstream="main",le="1"} 2
age_seconds_bucket{upstream="main",le="2"} 3
age_seconds_bucket{upstream="main",le="+Inf"} 4
age_seconds_sum{upstream="main"} 11.6
age_seconds_count{upstream="main"} 4
# HELP held_total Held.
# TYPE held_total counter
held_total 0
# HELP sent_total Mail sent.
# TYPE sent_total counter
sent_total{class="ok",upstream="main"} 5
sent_total{class="` + "\ufffd" + `",upstream="a \"b\" \\c\nd,e={f}"} 1
# HELP up Whether it is up.
# TYPE up gauge
up{upstream="main"} -1.25
`
	r := filled()
	if got := string(r.Text()); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := strings.Join(r.Names(), " "); got != "up never_total sent_total age_seconds held_total" {
		t.Error(got)
	}
}

// TestPrometheusReadsIt: what the parser of Prometheus reads is what Read returns, the metrics of the process among it.
func TestPrometheusReadsIt(t *testing.T) {
	r := filled()
	r.Add(Process{})
	text := r.Text()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, name := range []string{"go_goroutines", "go_info", "age_seconds", "sent_total", "up", "held_total"} {
		if families[name].GetMetric() == nil || families[name].Type == nil {
			t.Errorf("no %s", name)
		}
	}
	samples, err := Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, s := range samples {
		if s.Name == "sent_total" {
			got[s.Labels["upstream"]] = s.Value
		}
		if s.Name == "age_seconds_bucket" && s.Labels["le"] == "+Inf" {
			got["ages"] = s.Value
		}
	}
	if diff := cmp.Diff(map[string]float64{"main": 5, odd: 1, "ages": 4}, got); diff != "" {
		t.Error(diff)
	}
	for _, m := range families["sent_total"].GetMetric() {
		if v := m.GetLabel()[1].GetValue(); got[v] != m.GetCounter().GetValue() {
			t.Errorf("%q: %v", v, m.GetCounter())
		}
	}
}

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader("# HELP a b\n\na 1\nb -Inf\nc{x=\"\",y=\"1\"} 1e3\n"))
	want := []Sample{{Name: "a", Value: 1}, {Name: "b", Value: math.Inf(-1)},
		{Name: "c", Labels: map[string]string{"x": "", "y": "1"}, Value: 1000}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, bad := range []string{"a", " 1", "a x", "a{", "a{x", "a{x=", `a{x="`, `a{x="1`, `a{x="1"`, `a{x="1" 1`, `a{x="\q"} 1`, `a{x='ab'} 1`, `a{x="1"}`, strings.Repeat("a", 1<<17)} {
		if s, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%.40q: %v", bad, s)
		}
	}
}

// TestTogether: what many count at once adds up.
func TestTogether(t *testing.T) {
	c := NewCounter("c_total", "C.", "who")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				c.Inc("a")
				c.Add(2, "b")
			}
		})
	}
	all.Wait()
	if c.Value("a") != 8000 || c.Value("b") != 16000 {
		t.Error(c.Value("a"), c.Value("b"))
	}
}

// TestWrongLabels: values that fit no labels are a mistake of the caller.
func TestWrongLabels(t *testing.T) {
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, `c_total has the labels ["who"]`) {
			t.Error(got)
		}
	}()
	NewCounter("c_total", "C.", "who").Inc()
}

func BenchmarkInc(b *testing.B) {
	c := NewCounter("c_total", "C.", "upstream", "class")
	b.ReportAllocs()
	for b.Loop() {
		c.Inc("main", "sent")
	}
}
