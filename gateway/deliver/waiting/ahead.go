package waiting

import (
	"context"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// MostAhead is how many parts that are before another are counted.
const MostAhead = 10_000

// Source is what a view needs of the queue beside the messages.
type Source interface {
	Lanes(ctx context.Context) (map[string]queue.Lane, error)
	// Ahead returns for each place in a lane how many parts are due before it, at most so many.
	Ahead(ctx context.Context, lane string, places []queue.Place, most int) ([]int, error)
}

// Complete reads from the queue what Of needs to know about these messages. It costs what is due before them, up to
// MostAhead parts of each lane.
func (v *View) Complete(ctx context.Context, q Source, list []queue.Message) (err error) {
	if !v.Running {
		return nil
	}
	if v.lanes, err = q.Lanes(ctx); err != nil {
		return err
	}
	places, keys := map[string][]queue.Place{}, map[string][]Key{}
	for i := range list {
		m := &list[i]
		for j := range m.Parts {
			p := &m.Parts[j]
			if u, ok := v.Upstreams[p.Lane]; ok && p.State == envelope.Queued && u.State == "open" && !p.NextAt.After(v.now()) {
				places[p.Lane] = append(places[p.Lane], queue.Place{NextAt: p.NextAt, ID: m.ID})
				keys[p.Lane] = append(keys[p.Lane], KeyOf(m.ID, p.To))
			}
		}
	}
	v.ahead = map[Key]int{}
	for lane := range places {
		n, err := q.Ahead(ctx, lane, places[lane], MostAhead)
		if err != nil {
			return err
		}
		for i, key := range keys[lane] {
			v.ahead[key] = n[i]
		}
	}
	return nil
}
