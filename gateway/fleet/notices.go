package fleet

import (
	"context"
	"time"

	"mailhatch/gateway/deliver/notices"
)

// counted counts in the store. When that cannot be asked there is room: mail could not be finished either.
type counted struct {
	fleet  *Fleet
	what   string
	limit  int
	window time.Duration
}

// Notices implements deliver.Fleet.
func (f *Fleet) Notices(what string, limit int, window time.Duration) notices.Notices {
	return &counted{f, what, limit, window}
}

// Count implements notices.Notices.
func (n *counted) Count(sender string) { n.ask(sender, 1) }

// Until implements notices.Notices.
func (n *counted) Until(sender string) time.Time {
	if count, end := n.ask(sender, 0); count >= n.limit {
		return end
	}
	return time.Time{}
}

func (n *counted) ask(sender string, more int) (count int, end time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	count, end, err := n.fleet.cfg.Store.Count(ctx, n.what+"/"+sender, more, n.window)
	if err != nil {
		n.fleet.cfg.Report(err)
	}
	return count, end
}
