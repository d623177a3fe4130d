package mimetest

import (
	"testing"
	"time"
)

// MostRatio is how much more CPU twice as much input may cost: 2 where the cost is linear, 4 where it is the
// square.
const MostRatio = 2.6

// CheckLinear fails the test when the CPU time that twice n takes is more than MostRatio times that of n.
// prepare returns what is measured for a size. Nothing else may run in the process meanwhile. It returns the
// CPU time of twice n.
//
// Whatever disturbs a measurement makes it longer: the shortest of several counts. What grows by being measured, such
// as a folder of files, disturbs later ones more: two that were measured one after the other count too.
func CheckLinear(tb testing.TB, name string, n int, prepare func(n int) func()) time.Duration {
	tb.Helper()
	const enough, tries = 300 * time.Microsecond, 50
	one, two := prepare(n), prepare(2*n)
	small, large := CPU(one), CPU(two)
	linear := func(small, large time.Duration) bool { return float64(large) <= MostRatio*float64(max(small, enough)) }
	for try := 1; !linear(small, large); try++ {
		if try == tries {
			tb.Errorf("%s: %v for %d, %v for twice as much", name, small, n, large)
			break
		}
		s, l := CPU(one), CPU(two)
		if small, large = min(small, s), min(large, l); linear(s, l) {
			break
		}
	}
	return large
}

// CPU returns the processor time that the process spends while f runs; the time that passes on systems that do not
// count it.
func CPU(f func()) time.Duration {
	before := used()
	f()
	return used() - before
}
