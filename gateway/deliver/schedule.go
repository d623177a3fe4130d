package deliver

import (
	"math/rand/v2"
	"time"
)

// wait gives the pause before the next attempt after so many were made, spread by ±10 %, so that mail
// that was deferred together does not come back together.
func (p *Policy) wait(attempts int) time.Duration {
	d := p.Retry[min(max(attempts-1, 0), len(p.Retry)-1)]
	return spread(d)
}

func spread(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}
