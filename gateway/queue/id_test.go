package queue_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
)

func TestIDText(t *testing.T) {
	for _, id := range []int64{0, 1, 31, 32, math.MaxInt64} {
		text := queue.FormatID(id)
		for _, spelling := range []string{text, strings.ToLower(text)} {
			if got, ok := queue.ParseID(spelling); !ok || got != id {
				t.Errorf("%s: got %d, %v, want %d", spelling, got, ok, id)
			}
		}
	}
	for _, text := range []string{"", "1", "00000000000000", "000000000000U", "ZZZZZZZZZZZZZ", "00000000000é"} {
		if id, ok := queue.ParseID(text); ok {
			t.Errorf("%q was read as %d", text, id)
		}
	}
	if a, b := queue.FormatID(1<<40), fmt.Sprint(queue.FormatID(1<<41)); a >= b {
		t.Errorf("%s does not sort before %s", a, b)
	}
}
