package wal_test

import (
	"math"
	"testing"

	"mailhatch/gateway/queue/sqlite/wal"
)

func TestSaltAfter(t *testing.T) {
	for _, c := range []struct {
		earlier, later uint32
		want           bool
	}{
		{5, 6, true}, {5, 5, false}, {6, 5, false}, {math.MaxUint32, 0, true}, {math.MaxUint32 - 1, 3, true}, {0, math.MaxUint32, false},
	} {
		if got := (wal.Salt{First: c.later, Second: 1}).After(wal.Salt{First: c.earlier, Second: 2}); got != c.want {
			t.Errorf("%d after %d: %v", c.later, c.earlier, got)
		}
	}
}
