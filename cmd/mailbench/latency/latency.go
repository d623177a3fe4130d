// Package latency summarizes how long messages took.
package latency

import (
	"slices"
	"time"
)

// Summary sums up how long messages took, in milliseconds.
type Summary struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// Summarize sorts took and reads the percentiles from it by nearest rank.
func Summarize(took []time.Duration) Summary {
	if len(took) == 0 {
		return Summary{}
	}
	slices.Sort(took)
	rank := func(permille int) float64 {
		return Milliseconds(took[(len(took)*permille+999)/1000-1])
	}
	return Summary{P50: rank(500), P90: rank(900), P99: rank(990), P999: rank(999), Max: Milliseconds(took[len(took)-1])}
}

func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
