package smtp

import (
	"sync"
	"time"
)

const (
	maxIdle        = 15 * time.Second // servers drop idle clients, some of them early
	maxIdleConns   = 64               // kept for reuse; those in use are bounded by the callers of Send
	maxPerConn     = 100              // messages on one connection: many relays have a limit of about this
	quitTimeout    = time.Second      // for the courtesy of QUIT
	resetTimeout   = 5 * time.Second  // for RSET and what QUIT confirms: a new connection is cheaper than a long wait
	maxPipelined   = 100              // commands in one flush: replies to more might fill both sides' buffers (RFC 2920 3.1)
	maxTransaction = 1000             // recipients in one transaction unless the relay says less (RFC 9422)
)

// pool keeps idle connections for the next message.
type pool struct {
	maxIdle time.Duration // of a connection

	mu     sync.Mutex
	idle   []*conn     // the one used last at the end
	timer  *time.Timer // runs sweep; nil when nothing is idle
	closed bool
	work   sync.WaitGroup // sweeps and farewells under way
}

// get takes the connection used last, or nil when there is none.
func (p *pool) get() *conn {
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

// put returns a connection to the pool, for reuse where it is fit for it.
func (p *pool) put(c *conn) {
	if c.broken || c.holds() {
		c.close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.messages >= c.caps.maxMessages || len(p.idle) >= maxIdleConns {
		p.farewell(c)
		return
	}
	c.idleSince = time.Now()
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.schedule(p.maxIdle)
	}
}

// farewell sends QUIT without delaying the callers.
func (p *pool) farewell(c *conn) {
	p.work.Go(func() { c.quit(quitTimeout) })
}

func (p *pool) schedule(after time.Duration) {
	p.work.Add(1)
	p.timer = time.AfterFunc(after, func() {
		defer p.work.Done()
		p.sweep()
	})
}

// sweep ends connections that have been idle for too long.
func (p *pool) sweep() {
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
	p.idle = append([]*conn(nil), p.idle[n:]...)
	if len(p.idle) > 0 {
		p.schedule(p.maxIdle - time.Since(p.idle[0].idleSince))
	}
}

// close ends the idle connections and waits for their farewells, about a second at most.
func (p *pool) close() {
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
