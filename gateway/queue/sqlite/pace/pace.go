// Package pace says when what became of mail may wait for new mail to share its commit.
package pace

import "time"

// Pace is how often mail comes.
type Pace struct {
	Most time.Duration // that results wait

	last    time.Time // mail came
	regular bool      // the last came within Most of the one before
}

// Mail notes that new mail has come.
func (p *Pace) Mail(now time.Time) {
	p.regular = now.Sub(p.last) <= p.Most
	p.last = now
}

// Waits reports whether results may wait: mail has lately come so often that the next is worth it.
func (p *Pace) Waits(now time.Time) bool { return p.regular && now.Sub(p.last) <= p.Most }
