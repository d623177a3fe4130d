package figures

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/journal"
)

// watch is a time of day that a test moves.
type watch struct{ t time.Time }

func (w *watch) now() time.Time { return w.t }

func newWatch() *watch { return &watch{time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)} }

func event(name string, n int, age time.Duration) journal.Event {
	return journal.Event{Name: name, Upstream: "main", Recipients: n, Age: age}
}

// TestSeries: each minute has its own count, in every resolution, and a minute of a day ago is not that of today.
func TestSeries(t *testing.T) {
	w := newWatch()
	f := New(w.now)
	for range 3 {
		f.Hear(journal.Event{Name: "accepted", Recipients: 5})
		f.Hear(event("sent", 2, time.Second))
		f.Hear(event("deferred", 3, time.Second))
		f.Hear(event("failed", 1, time.Second))
		f.Hear(event("held", 9, 0)) // is not counted
		w.t = w.t.Add(time.Minute)
	}
	w.t = w.t.Add(-time.Minute)
	minute := Count{Accepted: 1, Recipients: 5, Sent: 2, Deferred: 3, Failed: 1}
	hour := f.Series(time.Hour, time.Minute)
	if len(hour) != 60 {
		t.Fatalf("%d points", len(hour))
	}
	for i, p := range hour {
		want := Point{At: w.t.Add(time.Duration(i-59) * time.Minute)}
		if i >= 57 {
			want.Count = minute
		}
		if d := cmp.Diff(want, p); d != "" {
			t.Errorf("point %d: %s", i, d)
		}
	}
	all := Count{Accepted: 3, Recipients: 15, Sent: 6, Deferred: 9, Failed: 3}
	for _, c := range []struct{ span, step time.Duration }{{24 * time.Hour, 10 * time.Minute}, {7 * 24 * time.Hour, time.Hour}} {
		points := f.Series(c.span, c.step)
		if last := points[len(points)-1]; last.Count != all {
			t.Errorf("%v: the last point is %+v", c.span, last)
		}
	}
	up := f.Upstream("main", time.Hour)
	if last := up[len(up)-1].Count; len(up) != 24 || last != (Count{Sent: 6, Deferred: 9, Failed: 3}) {
		t.Errorf("%d points of the upstream, the last %+v", len(up), last)
	}
	if up := f.Upstream("other", time.Hour); len(up) != 24 || up[23].Count != (Count{}) {
		t.Error("an upstream without mail has counts")
	}
	w.t = w.t.Add(24 * time.Hour)
	for _, p := range f.Series(24*time.Hour, time.Minute)[1:] {
		if p.Count != (Count{}) && p.At.After(w.t.Add(-24*time.Hour)) {
			t.Errorf("a day later there is %+v", p)
		}
	}
	f.Hear(event("sent", 1, time.Second))
	if got := f.Between(w.t.Add(-25*time.Hour), w.t.Add(-23*time.Hour)); got != all {
		t.Errorf("a day ago there was %+v", got)
	}
	if got := f.Between(w.t.Truncate(ten), w.t.Add(time.Hour)); got != (Count{Sent: 1}) {
		t.Errorf("now there is %+v", got)
	}
	if !f.Since().Equal(newWatch().t) {
		t.Errorf("since %v", f.Since())
	}
}

// TestAges: quantiles are right to within a bucket, whatever the ages are.
// TestLatency: what an upstream takes is told apart by upstream, and from how old its mail was.
func TestLatency(t *testing.T) {
	w := newWatch()
	f := New(w.now)
	if _, _, ok := f.Latency("main", time.Hour); ok {
		t.Error("an upstream that nobody knows has a latency")
	}
	for _, e := range []journal.Event{
		{Name: "sent", Upstream: "main", Recipients: 99, Age: time.Hour, Took: 100 * time.Millisecond},
		{Name: "sent", Upstream: "main", Recipients: 3, Age: time.Hour, Took: 8 * time.Second},
		{Name: "sent", Upstream: "other", Recipients: 500, Took: time.Minute},
		{Name: "deferred", Upstream: "main", Recipients: 500, Took: time.Minute},
	} {
		f.Hear(e)
	}
	half, most, ok := f.Latency("main", time.Hour)
	if !ok || half < 60*time.Millisecond || half > 170*time.Millisecond || most < 4*time.Second || most > 13*time.Second {
		t.Errorf("half %v, most %v", half, most)
	}
	w.t = w.t.Add(2 * time.Hour)
	if _, _, ok := f.Latency("main", time.Hour); ok {
		t.Error("what was two hours ago is the latency of the last hour")
	}
}

func TestAges(t *testing.T) {
	w := newWatch()
	f := New(w.now)
	if _, _, ok := f.Ages(time.Hour); ok {
		t.Error("there are ages of nothing")
	}
	for i := range 1000 {
		f.Hear(event("sent", 1, time.Duration(i)*10*time.Millisecond))
	}
	half, most, ok := f.Ages(time.Hour)
	near := func(got, want time.Duration) bool {
		return float64(got) > float64(want)/growth && float64(got) < float64(want)*growth
	}
	if !ok || !near(half, 5*time.Second) || !near(most, 9900*time.Millisecond) {
		t.Errorf("half %v, most %v", half, most)
	}
	w.t = w.t.Add(2 * time.Hour)
	if _, _, ok := f.Ages(time.Hour); ok {
		t.Error("ages of two hours ago are those of the last hour")
	}
	for _, age := range []time.Duration{0, -time.Second, time.Millisecond, 7 * 24 * time.Hour, 1e6 * time.Hour} {
		var a ages
		a.add(age, 2)
		if q := a.quantile(.99); q < 0 || q > 8*24*time.Hour {
			t.Errorf("%v is %v", age, q)
		}
	}
	if q := new(ages).quantile(.5); q <= 0 {
		t.Errorf("nothing is %v", q)
	}
}

// TestManyUpstreams: names that come and go with the config cannot fill the memory.
func TestManyUpstreams(t *testing.T) {
	f := New(newWatch().now)
	for i := range 2 * maxLanes {
		f.Hear(journal.Event{Name: "sent", Upstream: fmt.Sprint(i), Recipients: 1})
	}
	if len(f.lanes) != maxLanes {
		t.Errorf("%d upstreams are counted", len(f.lanes))
	}
	if got := f.Between(f.now().Truncate(ten), f.now().Add(time.Hour)).Sent; got != 2*maxLanes {
		t.Errorf("%d recipients", got)
	}
}

// TestClosed: each ten minutes in which an upstream was closed are known, a day back, and whether it still is.
func TestClosed(t *testing.T) {
	w := newWatch()
	f := New(w.now)
	count := func() (n int) {
		for _, closed := range f.Closed("main") {
			if closed {
				n++
			}
		}
		return n
	}
	hear := func(name string) { f.Hear(journal.Event{Name: name, Upstream: "main", Class: "account", Error: "401"}) }
	if n := count(); n != 0 {
		t.Errorf("an upstream of which nothing was heard was closed in %d", n)
	}
	hear("upstream_opened")
	hear("upstream_closed")
	w.t = w.t.Add(25 * time.Minute)
	hear("upstream_closed") // again
	if n := count(); n != 3 {
		t.Errorf("while it is closed: %d", n)
	}
	hear("upstream_opened")
	w.t = w.t.Add(3 * time.Hour)
	if got := f.Closed("main"); count() != 3 || got[len(got)-1] {
		t.Errorf("later: %d", count())
	}
	hear("upstream_closed")
	w.t = w.t.Add(48 * time.Hour)
	if n := count(); n != perDay {
		t.Errorf("after two days: %d", n)
	}
	hear("upstream_opened")
	w.t = w.t.Add(25 * time.Hour)
	if n := count(); n != 0 {
		t.Errorf("a day after its end: %d", n)
	}
}

// TestTroubles: failures are told apart by class, each with an example.
func TestTroubles(t *testing.T) {
	w := newWatch()
	f := New(w.now)
	if f.Troubles("main") != nil {
		t.Error("there is trouble")
	}
	hear := func(name, class, words string, n int) {
		f.Hear(journal.Event{Name: name, Upstream: "main", Class: class, Error: words, Recipients: n, ID: "Q" + class})
	}
	hear("deferred", "temporary", "503 busy", 1)
	hear("failover", "temporary", "503 still busy", 2)
	hear("failed", "permanent", strings.Repeat("ü", 1000), 5)
	want := []Trouble{{"permanent", 5, strings.Repeat("ü", maxWords/2), "Qpermanent", w.t}, {"temporary", 3, "503 still busy", "Qtemporary", w.t}}
	if d := cmp.Diff(want, f.Troubles("main")); d != "" {
		t.Error(d)
	}
	for i := range 100 {
		hear("failed", fmt.Sprint(i), "", 1)
	}
	if n := len(f.Troubles("main")); n != maxTroubles {
		t.Errorf("%d classes", n)
	}
}

func BenchmarkHear(b *testing.B) {
	f := New(time.Now)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.Hear(journal.Event{Name: "accepted", Recipients: 1})
		}
	})
}
