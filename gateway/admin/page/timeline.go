package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// step is one thing that happened to a message.
type step struct {
	At    time.Time
	State envelope.State // "": none that a recipient can have
	Words string
	Small string // the provider's words
}

// timeline tells the story of a message, oldest first: how it came, what happened on the way, how it ended.
func timeline(env *envelope.Envelope, events []queue.Event, records []queue.Record) []step {
	came := "Accepted "
	if len(records) > 0 && records[0].State == envelope.Refused { // then all are
		came = "Handed over "
	}
	steps := []step{{At: env.Received, Words: came + client(&env.Client)}}
	for i := range events {
		steps = append(steps, eventStep(&events[i]))
	}
	steps = append(steps, together(records)...)
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	return steps
}

// client says who handed a message over.
func client(c *envelope.Client) string {
	var words []string
	if c.Addr.IsValid() {
		words = append(words, "from "+c.Addr.String())
	}
	if c.User != "" {
		words = append(words, "by "+c.User)
	}
	if c.Listener != "" {
		words = append(words, "at "+c.Listener)
	}
	if c.Protocol != "" {
		words = append(words, "with "+c.Protocol)
	}
	return strings.Join(words, " ")
}

// together makes one step of recipients that ended alike at once.
func together(records []queue.Record) []step {
	type end struct {
		at                                  int64
		state                               envelope.State
		upstream, providerID, upstreamError string
	}
	var order []end
	to := map[end][]string{}
	first := map[end]*queue.Record{}
	for i := range records {
		r := &records[i]
		e := end{r.At.UnixMilli(), r.State, r.Upstream, r.ProviderID, r.Error}
		if first[e] == nil {
			first[e] = r
			order = append(order, e)
		}
		to[e] = append(to[e], mime.AddressText(r.Recipient.Address))
	}
	var steps []step
	for _, e := range order {
		r := first[e]
		s := step{At: r.At, State: r.State, Small: r.Error}
		who := listed(to[e], 3)
		switch r.State {
		case envelope.Sent:
			s.Words = "Taken by " + r.Upstream + " for " + who
			if r.ProviderID != "" {
				s.Small = "as " + r.ProviderID
			}
		case envelope.Discarded:
			s.Words = "Discarded for " + who
		case envelope.Refused:
			s.Words = "Refused for " + who + " when it was handed over"
		default:
			s.Words = "Given up for " + who
		}
		steps = append(steps, s)
	}
	return steps
}

// ended completes a sentence whose subject is a recipient.
func ended(r *queue.Record, received time.Time) string {
	switch r.State {
	case envelope.Sent:
		words := "by " + r.Upstream
		if after := r.At.Sub(received); !received.IsZero() && after >= 0 {
			words += ", " + duration(after) + " after it came"
		}
		if r.Attempts > 1 {
			words += fmt.Sprintf(", at attempt %d", r.Attempts)
		}
		return words
	case envelope.Failed:
		return "after " + count(r.Attempts, "attempt")
	}
	return ""
}

// eventStep puts an event into words.
func eventStep(e *queue.Event) step {
	who := ""
	if len(e.To) > 0 {
		who = " " + listed(e.To, 3)
	}
	by := e.By
	if by == "" {
		by = "mailhatch"
	}
	s := step{At: e.At, State: envelope.Queued, Small: e.Words}
	switch e.Kind {
	case queue.EventDeferred:
		s.Words = e.Upstream + " put off" + who
		if e.Attempts > 0 {
			s.Words += fmt.Sprintf(" at attempt %d", e.Attempts)
		}
		if !e.Next.IsZero() {
			s.Words += "; the next is at " + e.Next.Local().Format("15:04:05")
		}
	case queue.EventFailover:
		s.Words = "On from " + e.Upstream + " to " + e.Lane + " for" + who
	case queue.EventUncertain:
		s.Words = "Nobody knows whether " + e.Upstream + " has taken it for" + who
	case queue.EventHeld:
		s.State = envelope.Held
		switch {
		case e.By != "":
			s.Words = "Held by " + e.By + " for" + who
		case e.Rule != "":
			s.Words = "Held by " + route.Title(e.Rule) + " for" + who
		default:
			s.Words = "Held for" + who
		}
	case queue.EventRetried:
		s.Words = by + " tried it again for" + who
	case queue.EventReleased:
		s.Words = by + " released it for" + who
	case queue.EventDeleted:
		s.State, s.Words = envelope.Discarded, by+" deleted it for"+who
	case queue.EventMoved:
		s.Words = by + " moved it to " + e.Lane + " for" + who
		if e.Lane == "" {
			s.Words, s.Small = by+" gave it back to the routes for"+who, ""
		}
	case queue.EventResent:
		s.State, s.Words, s.Small = "", by+" sent it again, "+e.Words, ""
	case queue.EventFailed:
		s.State, s.Words = envelope.Failed, "Given up for"+who
	default:
		s.State, s.Words = "", string(e.Kind)+who
	}
	if who == "" {
		s.Words = strings.TrimSuffix(s.Words, " for")
	}
	return s
}
