package feedback

import (
	"context"
	"time"
)

// Between two looks for the records of what waits: soon at first, for the record of an answer is seldom long in coming.
const (
	joinFirst = time.Second
	joinMost  = time.Minute
	joinShare = 50 // of the time one part is for it, at most
)

// rejoin looks for the recipients of what was told before the store knew what became of their mail.
func (f *Follower) rejoin(ctx context.Context) {
	signal(f.waiting) // from before the start
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.waiting:
		}
		for wait := joinFirst; ; {
			start := time.Now()
			left, err := f.joinOnce(ctx)
			if err != nil && ctx.Err() == nil {
				f.Journal.InternalError("feedback", err)
			}
			if err == nil && left == 0 {
				break
			}
			least := max(joinFirst, joinShare*time.Since(start)) // much that waits is looked through less often
			if !rest(ctx, max(wait, least), f.waiting) || !rest(ctx, least, nil) {
				return
			}
			if wait = min(2*wait, joinMost); f.news.Swap(false) {
				wait = joinFirst
			}
		}
	}
}

func (f *Follower) joinOnce(ctx context.Context) (left int, err error) {
	done, err := f.Store.Rejoin(ctx)
	if err != nil {
		return 0, err
	}
	f.write(&done)
	f.Journal.ToldNothing("", "dropped", done.Dropped)
	f.joined(&done)
	return done.Waiting, nil
}
