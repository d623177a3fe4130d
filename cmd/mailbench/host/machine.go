// Package host describes the machine of a measurement, meters processes, and finds addresses on loopback.
package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/latency"
)

// Machine is where figures were measured.
type Machine struct {
	CPU        string          `json:"cpu"`
	Cores      int             `json:"cores"`
	System     string          `json:"system"`
	Go         string          `json:"go"`
	Filesystem string          `json:"filesystem"` // of the queue
	FsyncsPerS float64         `json:"fsyncs_per_s"`
	Fsync      latency.Summary `json:"fsync"`        // of a 4 KiB append with its fsync
	Busy       float64         `json:"load_average"` // of one minute, before the run; 0: idle or unknown
	Time       time.Time       `json:"time"`
}

// Inspect gathers the facts and probes the disk of dir for so long.
func Inspect(dir string, probe time.Duration) (Machine, error) {
	m := Machine{
		CPU:        cpuModel(readText("/proc/cpuinfo")),
		Cores:      runtime.NumCPU(),
		System:     strings.TrimSpace(runtime.GOOS + "/" + runtime.GOARCH + " " + readText("/proc/sys/kernel/osrelease")),
		Go:         runtime.Version(),
		Filesystem: filesystemOf(dir, readText("/proc/self/mounts")),
		Busy:       loadAverage(readText("/proc/loadavg")),
		Time:       time.Now().UTC().Truncate(time.Second),
	}
	var err error
	m.FsyncsPerS, m.Fsync, err = fsyncRate(dir, probe)
	return m, err
}

// readText returns a file's text, "" when there is none (systems without /proc).
func readText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown"
}

// loadAverage reads the first figure of /proc/loadavg, 0 when there is none.
func loadAverage(loadavg string) float64 {
	minute, _, _ := strings.Cut(loadavg, " ")
	busy, err := strconv.ParseFloat(minute, 64)
	if err != nil {
		return 0
	}
	return busy
}

// filesystemOf returns the type of the mount that holds dir. A tmpfs makes fsync free and the figures void.
func filesystemOf(dir, mounts string) string {
	kind, longest := "unknown", -1
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < longest {
			continue
		}
		if rel, err := filepath.Rel(f[1], dir); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			kind, longest = f[2], len(f[1])
		}
	}
	return kind
}

// fsyncRate appends 4 KiB and syncs, one after the other, for so long: what a server that syncs once
// for each message cannot exceed with one session.
func fsyncRate(dir string, probe time.Duration) (perSecond float64, each latency.Summary, err error) {
	f, err := os.CreateTemp(dir, "fsync")
	if err != nil {
		return 0, each, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	began := time.Now()
	for last := began; last.Sub(began) < probe; {
		if _, err := f.Write(block); err != nil {
			return 0, each, err
		}
		if err := f.Sync(); err != nil {
			return 0, each, fmt.Errorf("fsync in %s: %w", dir, err)
		}
		now := time.Now()
		took = append(took, now.Sub(last))
		last = now
	}
	return float64(len(took)) / time.Since(began).Seconds(), latency.Summarize(took), nil
}

// Write prints the machine for a report.
func (m Machine) Write(b *strings.Builder) {
	fmt.Fprintf(b, "%s, %d cores, %s, %s, queue on %s, %.0f fsyncs/s (4 KiB appends, one after the other: p50 %.2f ms, p99 %.2f ms), load average %.1f, %s\n\n",
		m.CPU, m.Cores, m.System, m.Go, m.Filesystem, m.FsyncsPerS, m.Fsync.P50, m.Fsync.P99, m.Busy, m.Time.Format("2006-01-02 15:04 MST"))
	if m.Busy > float64(m.Cores)/2 {
		fmt.Fprintf(b, "**The machine was busy with other work before the run (load average %.1f): compare ratios, not figures.**\n\n", m.Busy)
	}
	if m.Filesystem == "tmpfs" {
		b.WriteString("**The queue is on a tmpfs, where fsync does nothing: these are not figures of durable mail.** Use -dir.\n\n")
	}
}
