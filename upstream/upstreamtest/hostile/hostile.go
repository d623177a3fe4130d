// Package hostile measures what messages cost an upstream that are made to be expensive, or are large.
package hostile

import (
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/upstream"
)

// build parses a message and makes its requests.
func build(tb testing.TB, src mime.Source, builder func(*upstream.Mail)) {
	tb.Helper()
	msg, err := mime.Parse(src)
	if err != nil {
		tb.Fatal(err)
	}
	builder(&upstream.Mail{ID: "Q", From: "app@example.com", Message: msg,
		To: []upstream.Recipient{{Address: "ann@example.org"}, {Address: "ann1@example.org"}}})
}

const mostHeap = 64 << 20

// peakHeap is by how many bytes the heap grows at most while f runs, what is garbage left out as far
// as an eager collector can.
func peakHeap(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), make(chan uint64)
	go SamplePeak(stop, peak)
	f()
	close(stop)
	return max(<-peak, before.HeapInuse) - before.HeapInuse
}

// Check holds the promise for each upstream, from the bytes to the request: no message of 1 MB
// takes more than a second, or 64 MB at a time. A busy machine gets more time; Benchmark measures it.
func Check(t *testing.T, size int, all map[string]func(*upstream.Mail)) {
	t.Helper()
	const patience = 10 * time.Second
	for name, raw := range mimetest.Hostile(size) {
		for _, kind := range slices.Sorted(maps.Keys(all)) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			src := mime.NewBytesSource([]byte(raw))
			build(t, src, all[kind])
			spent := time.Since(start)
			runtime.ReadMemStats(&after)
			if spent > patience {
				t.Errorf("%s, %s: took %v", kind, name, spent)
			}
			if after.TotalAlloc-before.TotalAlloc < mostHeap {
				continue
			}
			if peak := peakHeap(func() { build(t, src, all[kind]) }); peak > mostHeap {
				t.Errorf("%s, %s: the heap grew by %d MB; %d MB were allocated in all", kind, name, peak>>20, (after.TotalAlloc-before.TotalAlloc)>>20)
			}
		}
	}
}

const largeHeap = 32 << 20 // bytes; a header of 1 MB can take most of them

// CheckLarge holds the promise that a large message takes no more memory than a small one, but for a large header.
func CheckLarge(t *testing.T, all map[string]func(*upstream.Mail)) {
	t.Helper()
	for name, src := range mimetest.LargeMessages(4 << 20) {
		for _, kind := range slices.Sorted(maps.Keys(all)) {
			if peak := peakHeap(func() { build(t, src, all[kind]) }); peak > largeHeap {
				t.Errorf("%s, %s: the heap grew by %d MB", kind, name, peak>>20)
			}
		}
	}
}

// Benchmark reports the slowest and the fattest message, of 1 MB and of 37 MiB, for each upstream.
func Benchmark(b *testing.B, all map[string]func(*upstream.Mail)) {
	small, large := map[string]mime.Source{}, map[string]mime.Source{}
	for name, raw := range mimetest.Hostile(1 << 20) {
		small[name] = mime.NewBytesSource([]byte(raw))
	}
	for name, src := range mimetest.LargeMessages(37 << 20) {
		large[name] = src
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		for size, messages := range map[string]map[string]mime.Source{"1MB": small, "37MiB": large} {
			b.Run(kind+"/"+size, func(b *testing.B) {
				var slowest time.Duration
				var fattest uint64
				var slow, fat string
				for b.Loop() {
					for name, src := range messages {
						var spent time.Duration
						peak := peakHeap(func() {
							start := time.Now()
							build(b, src, all[kind])
							spent = time.Since(start)
						})
						if spent > slowest {
							slowest, slow = spent, name
						}
						if peak > fattest {
							fattest, fat = peak, name
						}
					}
				}
				b.Logf("the slowest is %q, the fattest %q", slow, fat)
				b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
				b.ReportMetric(float64(fattest)/1e6, "peak-MB")
			})
		}
	}
}

// SamplePeak sends the greatest heap in use, in bytes, once stop is closed.
func SamplePeak(stop chan struct{}, peak chan uint64) {
	var most uint64
	var m runtime.MemStats
	for {
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		select {
		case <-stop:
			peak <- most
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}
