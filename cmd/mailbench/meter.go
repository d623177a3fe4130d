package main

import (
	"context"
	"sync"
	"time"
)

// footprint is what a process and its descendants have used.
type footprint struct {
	CPU time.Duration // user and system, since they started; granularity 10 ms on Linux
	PSS int64         // proportional set size now, bytes
	HWM int64         // greatest resident set of the first process so far, bytes
}

const sampleEvery = 100 * time.Millisecond

// meter samples the memory of a process tree while it works.
type meter struct {
	pid    int
	before footprint
	peak   int64
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startMeter begins to measure; finish ends it. The error wraps errors.ErrUnsupported where the system
// does not tell.
func startMeter(ctx context.Context, pid int) (*meter, error) {
	before, err := treeUsage(pid)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &meter{pid: pid, before: before, peak: before.PSS, cancel: cancel}
	m.wg.Go(func() {
		for sleepUntil(ctx, time.Now().Add(sampleEvery)) {
			if now, err := treeUsage(pid); err == nil {
				m.peak = max(m.peak, now.PSS)
			}
		}
	})
	return m, nil
}

// finish gives the CPU time since startMeter, the greatest PSS seen and the HWM.
func (m *meter) finish() (footprint, error) {
	m.cancel()
	m.wg.Wait()
	now, err := treeUsage(m.pid)
	now.CPU -= m.before.CPU
	now.PSS = max(m.peak, now.PSS)
	return now, err
}
