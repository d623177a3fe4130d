package main

import (
	"slices"
	"time"
)

// Latency sums up how long messages took, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// summarize sorts took and reads the percentiles from it by nearest rank.
func summarize(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	rank := func(percent int) float64 {
		return milliseconds(took[(len(took)*percent+99)/100-1])
	}
	return Latency{P50: rank(50), P90: rank(90), P99: rank(99), Max: milliseconds(took[len(took)-1])}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
