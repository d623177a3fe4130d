package host

import (
	"context"
	"sync"
	"time"
)

// Footprint is what a process and its descendants have used.
type Footprint struct {
	CPU time.Duration // user and system, since they started; granularity 10 ms on Linux
	PSS int64         // proportional set size now, bytes
	HWM int64         // greatest resident set of the first process so far, bytes
}

const sampleEvery = 100 * time.Millisecond

// meter samples the memory of a process tree while it works.
type meter struct {
	pid    int
	before Footprint
	peak   int64
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// StartMeter begins to measure; finish ends it. The error wraps errors.ErrUnsupported where the system
// does not tell.
func StartMeter(ctx context.Context, pid int) (*meter, error) {
	before, err := TreeUsage(pid)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &meter{pid: pid, before: before, peak: before.PSS, cancel: cancel}
	m.wg.Go(func() {
		for SleepUntil(ctx, time.Now().Add(sampleEvery)) {
			if now, err := TreeUsage(pid); err == nil {
				m.peak = max(m.peak, now.PSS)
			}
		}
	})
	return m, nil
}

// Finish returns the CPU time since startMeter, the greatest PSS seen and the HWM.
func (m *meter) Finish() (Footprint, error) {
	m.cancel()
	m.wg.Wait()
	now, err := TreeUsage(m.pid)
	now.CPU -= m.before.CPU
	now.PSS = max(m.peak, now.PSS)
	return now, err
}
