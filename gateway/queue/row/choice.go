package row

import (
	"fmt"
	"math"
	"slices"

	"mailhatch/gateway/queue"
)

// Choice is a filter that is ready for use on the rows. It goes through the messages once.
type Choice struct {
	Filter queue.Filter
	Code   int64 // of its state
	Newest bool  // first
	After  int64 // messages up to this one have been chosen
	Until  int64 // parts that came into their state before; 0: all
	ids    []int64
}

// NewChoice returns the choice of a filter.
func NewChoice(f queue.Filter) (*Choice, error) {
	c := &Choice{Filter: f, After: -1}
	var ok bool
	if c.Code, ok = Code(f.State); f.State != "" && (!ok || c.Code > Failed) {
		return nil, fmt.Errorf("queue: no message waits in state %q", f.State)
	}
	for _, text := range f.IDs {
		if id, ok := queue.ParseID(text); ok {
			c.ids = append(c.ids, id)
		}
	}
	slices.Sort(c.ids)
	c.ids = slices.Compact(c.ids)
	return c, nil
}

// NewPage returns the choice of a filter that begins where a page does.
func NewPage(f queue.Filter, p queue.Page) (*Choice, error) {
	c, err := NewChoice(f)
	if err != nil {
		return nil, err
	}
	if p.Newest {
		c.Newest, c.After = true, math.MaxInt64
		slices.Reverse(c.ids)
	}
	if p.After != "" {
		var ok bool
		if c.After, ok = queue.ParseID(p.After); !ok {
			return nil, fmt.Errorf("%w: %q", queue.ErrPlace, p.After)
		}
	}
	return c, nil
}

// Next returns up to so many further messages that may have a part of the choice, in order: those that the filter names, or
// those that are read.
func (c *Choice) Next(want int, read func() ([]int64, error)) (ids []int64, err error) {
	if c.Filter.IDs == nil {
		ids, err = read()
	} else if from := slices.IndexFunc(c.ids, func(id int64) bool { return id != c.After && id < c.After == c.Newest }); from >= 0 {
		ids = c.ids[from:min(from+want, len(c.ids))]
	}
	if len(ids) > 0 && err == nil {
		c.After = ids[len(ids)-1]
	}
	return ids, err
}

// Chooses reports whether some part of a message is chosen.
func (c *Choice) Chooses(m *queue.Message) bool {
	return slices.ContainsFunc(m.Parts, func(p queue.Part) bool { return len(c.Filter.Names(m, &p)) > 0 })
}
