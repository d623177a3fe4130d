package latency

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	if diff := cmp.Diff(Summary{P50: 50, P90: 90, P99: 99, P999: 100, Max: 100}, Summarize(took)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Summary{P50: 7, P90: 7, P99: 7, P999: 7, Max: 7}, Summarize([]time.Duration{7 * time.Millisecond})); diff != "" {
		t.Error(diff)
	}
	if got := Summarize(nil); got != (Summary{}) {
		t.Errorf("of nothing: %+v", got)
	}
}
