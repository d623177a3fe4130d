package feedback

import (
	"context"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

const (
	takeStep  = 500         // events of one write: mail goes on between them
	textMost  = 1000        // bytes of each text of an event
	strayTime = time.Minute // between two lines about events of which nothing can be made
)

// take puts what a provider told into the store: the events, and then how far its log was read. replay reports that it
// is a webhook request which was taken in before.
func (f *Follower) take(ctx context.Context, name string, b *upstream.Batch) (replay bool, err error) {
	now := f.Clock.Now()
	list := make([]queue.Told, 0, len(b.Events))
	for i := range b.Events {
		t := told(&b.Events[i], now)
		list = append(list, bounded(t))
	}
	for first := true; first || len(list) > 0; first = false {
		step := list[:min(takeStep, len(list))]
		if b.Nonce != "" { // a second request is known by it, so all is in one write
			step = list
		}
		list = list[len(step):]
		n := queue.News{Upstream: name, Told: step, Nonce: b.Nonce}
		if len(list) == 0 {
			n.Cursor = string(b.Next)
		}
		done, err := f.Store.Apply(ctx, n)
		if err != nil {
			return false, err
		}
		if done.Replay {
			f.Journal.ToldNothing(name, "replayed", len(step))
			return true, nil
		}
		f.heard(name, len(step), &done)
	}
	if b.Skipped > 0 {
		f.Journal.ToldNothing(name, "skipped", b.Skipped)
		f.stray(name, 0, b.Skipped, b.Note)
	}
	return false, nil
}

// bounded cuts what strangers may have made long.
func bounded(t queue.Told) queue.Told {
	for _, text := range []*string{&t.ID, &t.ProviderID, &t.Recipient, &t.Words, &t.Status, &t.RemoteMTA, &t.Key} {
		*text = clip(*text)
	}
	return t
}

// heard tells the operator what came of events, and wakes those who go on with it.
func (f *Follower) heard(name string, n int, done *queue.Applied) {
	f.write(done)
	f.Journal.ToldNothing(name, "known", done.Again)
	f.Journal.ToldNothing(name, "dropped", done.Dropped)
	f.count(name, n, done)
	if done.Dropped > 0 {
		f.stray(name, done.Dropped, 0, "")
	}
	if done.Waiting > 0 {
		f.news.Store(true)
		signal(f.waiting)
	}
}

// write writes a line of each recipient, and wakes who notifies senders.
func (f *Follower) write(done *queue.Applied) {
	f.suppressions(done.Suppressed, f.Journal.Suppressed)
	f.suppressions(done.Lifted, f.Journal.Lifted)
	for i := range done.Joined {
		j := &done.Joined[i]
		f.Journal.Told(journal.Told{Kind: string(j.Kind), ID: j.ID, MessageID: j.MessageID, From: j.From, To: j.Recipient, Upstream: j.Upstream,
			ProviderID: j.ProviderID, At: j.At, Status: j.Status, Words: j.Words, Bad: isBad(j.Kind)})
		if j.Report {
			signal(f.late)
		}
	}
}

// suppressions writes a line of each address that came onto the list of suppressed ones, or left it.
func (f *Follower) suppressions(list []queue.Suppression, write func(journal.Suppression)) {
	for i := range list {
		s := &list[i]
		write(journal.Suppression{Address: s.Address, Domain: s.Domain, Reason: string(s.Reason), ID: s.ID, Upstream: s.Upstream, Until: s.Until, Words: s.Words})
	}
}

func isBad(k queue.EventKind) bool {
	switch k {
	case queue.EventBounced, queue.EventSuppressed, queue.EventFailed, queue.EventComplained, queue.EventSoftBounced:
		return true
	}
	return false
}
