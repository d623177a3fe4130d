package journal

import "log/slog"

// Operation is what an operator did to mail in the queue.
type Operation struct {
	Action     string // retry, hold, release, delete…
	By         string // who it was
	Filter     string // what was asked for, in words
	Messages   int
	Recipients int
	Upstream   string // that they were moved to
}

// Operator writes "operator". Recipients that were deleted are counted as discarded.
func (j *Journal) Operator(o Operation) {
	j.metrics.operators.Inc(o.Action)
	if o.Action == "delete" {
		j.metrics.discarded.Add(o.Recipients)
	}
	j.tell(Event{Name: "operator", Upstream: o.Upstream, Recipients: o.Recipients, Action: o.Action, By: o.By})
	upstream := slog.Attr{} // none is not written
	if o.Upstream != "" {
		upstream = slog.String("upstream", o.Upstream)
	}
	j.write(slog.LevelInfo, "operator", slog.String("action", o.Action), slog.String("by", o.By), slog.String("filter", o.Filter),
		slog.Int("messages", o.Messages), slog.Int("recipients", o.Recipients), upstream)
}
