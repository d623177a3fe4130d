package upstream

import (
	"sync"
	"time"
)

const (
	smtpMaxIdle        = 15 * time.Second // servers drop idle clients, some of them early
	smtpMaxIdleConns   = 64               // kept for reuse; those in use are bounded by the callers of Send
	smtpMaxPerConn     = 100              // messages on one connection: many relays have a limit of about this
	smtpQuitTimeout    = time.Second      // for the courtesy of QUIT
	smtpResetTimeout   = 5 * time.Second  // for RSET: a new connection is cheaper than a long wait
	smtpMaxPipelined   = 100              // commands in one flush: replies to more might fill both sides' buffers (RFC 2920 3.1)
	smtpMaxTransaction = 1000             // recipients in one transaction unless the relay says less (RFC 9422)
)

// smtpPool keeps idle connections for the next message. The zero value needs init.
type smtpPool struct {
	maxIdle time.Duration

	mu     sync.Mutex
	idle   []*smtpConn // the one used last at the end
	timer  *time.Timer // runs sweep; nil when nothing is idle
	closed bool
	work   sync.WaitGroup // sweeps and farewells under way
}

func (p *smtpPool) init() { p.maxIdle = smtpMaxIdle }

// get takes the connection used last, or nil when there is none.
func (p *smtpPool) get() *smtpConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if time.Since(c.idleSince) < p.maxIdle && !c.spoke() {
			return c
		}
		p.farewell(c)
	}
	return nil
}

// put gives a connection back, for reuse where it is fit for it.
func (p *smtpPool) put(c *smtpConn) {
	if c.broken {
		c.close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.messages >= c.caps.maxMessages || len(p.idle) >= smtpMaxIdleConns {
		p.farewell(c)
		return
	}
	c.idleSince = time.Now()
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.schedule(p.maxIdle)
	}
}

// farewell says QUIT beside the callers' way.
func (p *smtpPool) farewell(c *smtpConn) {
	p.work.Go(func() { c.quit(smtpQuitTimeout) })
}

func (p *smtpPool) schedule(after time.Duration) {
	p.work.Add(1)
	p.timer = time.AfterFunc(after, func() {
		defer p.work.Done()
		p.sweep()
	})
}

// sweep ends connections that have been idle for too long.
func (p *smtpPool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	if p.closed {
		return
	}
	n := 0
	for n < len(p.idle) && time.Since(p.idle[n].idleSince) >= p.maxIdle {
		p.farewell(p.idle[n])
		n++
	}
	p.idle = append([]*smtpConn(nil), p.idle[n:]...)
	if len(p.idle) > 0 {
		p.schedule(p.maxIdle - time.Since(p.idle[0].idleSince))
	}
}

// close ends the idle connections and waits for their farewells, about a second at most.
func (p *smtpPool) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil && p.timer.Stop() {
		p.work.Done()
	}
	p.timer = nil
	for _, c := range p.idle {
		p.farewell(c)
	}
	p.idle = nil
	p.mu.Unlock()
	p.work.Wait()
}
