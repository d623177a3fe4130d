package figures

import (
	"math"
	"time"
)

const (
	youngest = time.Millisecond // ages below it count as it
	growth   = 1.6              // each bucket ends so many times later than the one before it
	buckets  = 43               // the last ends after seven days
)

// ages counts recipients by how old their mail was when an upstream took it.
type ages [buckets]uint32

func (a *ages) add(age time.Duration, n int) {
	i := 0
	if age > youngest {
		i = min(buckets-1, 1+int(math.Log(float64(age)/float64(youngest))/math.Log(growth)))
	}
	a[i] += uint32(n)
}

func (a *ages) join(b *ages) {
	for i := range a {
		a[i] += b[i]
	}
}

func (a *ages) total() int {
	n := 0
	for _, c := range a {
		n += int(c)
	}
	return n
}

// quantile returns an age that the share q of all does not exceed, right to within a bucket.
func (a *ages) quantile(q float64) time.Duration {
	left := q * float64(a.total())
	for i, c := range a {
		if left > float64(c) || c == 0 {
			left -= float64(c)
			continue
		}
		begin, end := 0.0, float64(youngest)
		if i > 0 {
			begin = float64(youngest) * math.Pow(growth, float64(i-1))
			end = begin * growth
		}
		return time.Duration(begin + (end-begin)*left/float64(c))
	}
	return time.Duration(float64(youngest) * math.Pow(growth, buckets-1))
}
