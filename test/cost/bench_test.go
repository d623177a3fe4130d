package cost

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/upstream/upstreamtest/hostile"
)

// worst is the message that takes most of something.
type worst struct {
	name string
	most float64
}

func (w *worst) note(name string, n float64) {
	if n > w.most {
		w.name, w.most = name, n
	}
}

// fileSource is a message on disk, as the queue keeps it.
type fileSource struct {
	*os.File
	size int64
}

func (f fileSource) Size() int64 { return f.size }

// onDisk writes messages into files, so that the heap is that of the program.
func onDisk(b *testing.B, messages map[string]string) map[string]mime.Source {
	b.Helper()
	dir := b.TempDir()
	all := map[string]mime.Source{}
	for i, name := range slices.Sorted(maps.Keys(messages)) {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		if _, err := f.WriteString(messages[name]); err != nil {
			b.Fatal(err)
		}
		all[name] = fileSource{f, int64(len(messages[name]))}
	}
	return all
}

// BenchmarkHostile prints the table of doc/security.md: the slowest and the fattest of the hostile messages at the
// door and at each kind. Headers and trees have 1 MB, bodies max_message as it is by default.
func BenchmarkHostile(b *testing.B) {
	var rows strings.Builder
	for _, set := range []struct {
		name     string
		messages map[string]mime.Source
	}{
		{"1 MB of anything", onDisk(b, mimetest.Hostile(1_000_000))},
		{"40 MB of body", onDisk(b, mimetest.HostileBodies(39_999_000))},
	} {
		r := newRig(b)
		for _, w := range r.works(b.Context()) {
			var slow, fat worst
			b.Run(set.name+"/"+w.name, func(b *testing.B) {
				for b.Loop() {
					for _, name := range slices.Sorted(maps.Keys(set.messages)) {
						spent, peak := measure(func() { w.do(b, recipients(2), set.messages[name]) })
						slow.note(name, spent.Seconds())
						fat.note(name, float64(peak)/1e6)
					}
				}
				b.ReportMetric(slow.most, "CPU-s")
				b.ReportMetric(fat.most, "peak-MB")
			})
			if slow.name != "" {
				fmt.Fprintf(&rows, "| %s | %s | %.2f s (%s) | %.0f MB (%s) |\n", set.name, w.name, slow.most, slow.name, fat.most, fat.name)
			}
		}
	}
	fmt.Printf("| message | where | most CPU | most memory |\n|---|---|---|---|\n%s", rows.String())
}

// measure returns the processor time of f, and by how many bytes the heap grows at most.
func measure(f func()) (spent time.Duration, peak uint64) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, most := make(chan struct{}), make(chan uint64)
	go hostile.SamplePeak(stop, most)
	spent = mimetest.CPU(f)
	close(stop)
	return spent, max(<-most, before.HeapInuse) - before.HeapInuse
}
