package fate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
)

// Step is one thing that happened to a message.
type Step struct {
	At    time.Time
	State envelope.State // "": none that a recipient can have
	Words string
	Small string // the provider's words

	Gateway string // where it happened, if several share the queue
}

// Timeline tells the story of a message, oldest first: how it came, what happened on the way, how it ended.
func Timeline(env *envelope.Envelope, events []queue.Event, records []queue.Record) []Step {
	came := "Accepted "
	if len(records) > 0 && records[0].State == envelope.Refused { // then all are
		came = "Handed over "
	}
	steps := append([]Step{{At: env.Received, Words: came + client(&env.Client), Gateway: env.Gateway}}, renamed(env)...)
	events = merged(events)
	for i := range events {
		steps = append(steps, eventStep(&events[i]))
	}
	steps = append(steps, together(records)...)
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return steps
}

// renamed says which recipients stand for those that were given: aliases and rules have put them in their place.
func renamed(env *envelope.Envelope) []Step {
	var order []string
	now := map[string][]string{}
	for i := range env.To {
		r := &env.To[i]
		name := Given(r)
		if name == "" {
			continue
		}
		if now[name] == nil {
			order = append(order, name)
		}
		now[name] = append(now[name], mime.AddressText(r.Address))
	}
	var steps []Step
	for i, name := range order {
		if i == manySteps {
			return append(steps, Step{At: env.Received, Words: fmt.Sprintf("%s more recipients were renamed", say.Number(len(order)-i))})
		}
		words := name + " became " + say.Listed(now[name], 3)
		if local, _, ok := strings.Cut(now[name][0], "@"); ok && len(now[name]) == 1 && local == name { // it only lacked a domain
			words = name + " was completed to " + now[name][0]
		}
		steps = append(steps, Step{At: env.Received, Words: words})
	}
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

// manySteps is how many things may happen to a message until those that are alike are told as one, whenever they were.
const manySteps = 20

// merged puts events together that are alike but for their recipients, where there are many.
func merged(events []queue.Event) []queue.Event {
	if len(events) <= manySteps {
		return events
	}
	type kind struct {
		kind                          queue.EventKind
		upstream, lane, rule, by, why string
		gateway                       string
		attempts                      int
	}
	var out []queue.Event
	at := map[kind]int{}
	for _, e := range events {
		k := kind{e.Kind, e.Upstream, e.Lane, e.Rule, e.By, Unnamed(e.Words, e.To...), e.Gateway, e.Attempts}
		i, known := at[k]
		if !known || e.To == nil {
			at[k] = len(out)
			out = append(out, e)
			continue
		}
		m := &out[i]
		m.To, m.Words, m.Next = slices.Concat(m.To, e.To), k.why, e.Next
	}
	return out
}

// together makes one step of recipients that ended alike: at once or, where there are many, at any time.
func together(records []queue.Record) []Step {
	type end struct {
		at                             int64
		state                          envelope.State
		upstream, providerID, problems string
		gateway                        string
	}
	var order []end
	to := map[end][]string{}
	first, last := map[end]*queue.Record{}, map[end]*queue.Record{}
	for i := range slices.Backward(records) { // they are the newest first
		r := &records[i]
		e := end{r.At.UnixMilli(), r.State, r.Upstream, r.ProviderID, r.Error, r.Gateway}
		if r.State.IsSent() { // what was told later is an event of its own
			e.state, e.problems = envelope.Sent, ""
		}
		if len(records) > manySteps {
			e.at, e.providerID, e.problems = 0, "", Unnamed(r.Error, r.Recipient.Address)
		}
		if first[e] == nil {
			first[e] = r
			order = append(order, e)
		}
		last[e] = r
		to[e] = append(to[e], mime.AddressText(r.Recipient.Address))
	}
	var steps []Step
	for _, e := range order {
		r := first[e]
		s := Step{At: r.At, State: e.state, Small: e.problems, Gateway: r.Gateway}
		who := say.Listed(to[e], 3)
		switch e.state {
		case envelope.Sent:
			s.Words = "Taken by " + r.Upstream + " for " + who
			if e.providerID != "" {
				s.Small = "as " + e.providerID
			}
		case envelope.Discarded:
			s.Words = "Discarded for " + who
		case envelope.Refused:
			s.Words = "Refused for " + who + " when it was handed over"
		default:
			s.Words = "Given up for " + who
		}
		if took := last[e].At.Sub(r.At); took >= time.Second {
			s.Words += ", the last " + say.Duration(took.Truncate(time.Second)) + " later"
		}
		steps = append(steps, s)
	}
	return steps
}

// Of says what became of a recipient.
func Of(r *queue.Record, received time.Time) Fate {
	f := Fate{To: mime.AddressText(r.Recipient.Address), Given: Given(&r.Recipient), State: r.State, Upstream: r.Upstream, Small: r.Error, ID: r.ProviderID, At: r.At}
	switch r.State {
	case envelope.Sent:
		f.Words = "taken by " + r.Upstream
		if after := r.At.Sub(received); !received.IsZero() && after >= 0 {
			f.Detail = " " + say.Duration(after) + " after it came"
		}
		if r.Attempts > 1 {
			f.Detail += fmt.Sprintf(", at attempt %d", r.Attempts)
		}
	case envelope.Delivered, envelope.Bounced, envelope.Complained:
		f.Words = "taken by " + r.Upstream + map[envelope.State]string{envelope.Delivered: ", which says that it arrived", envelope.Bounced: ", which says that it did not arrive",
			envelope.Complained: ", which says that the recipient called it spam"}[r.State]
		if !r.Told.IsZero() {
			f.At = r.Told
		}
	case envelope.Failed:
		f.Words = "given up after " + say.Count(r.Attempts, "attempt")
	case envelope.Refused:
		f.Words = "refused when it was handed over"
	default:
		f.Words = string(r.State)
	}
	return f
}

// eventStep puts an event into words.
func eventStep(e *queue.Event) Step {
	who := ""
	if len(e.To) > 0 {
		who = " " + say.Listed(e.To, 3)
	}
	by := e.By
	if by == "" {
		by = "mailhatch"
	}
	s := Step{At: e.At, State: envelope.Queued, Small: e.Words, Gateway: e.Gateway}
	switch e.Kind {
	case queue.EventCanary:
		s.State, s.Words = "", "A canary: mailhatch sent it to see whether "+e.Upstream+" delivers"
	case queue.EventRewritten:
		s.State, s.Words = "", "Changed by rewrite "+say.Plural(strings.Count(e.Rule, ", ")+1, "rule ", "rules ")+e.Rule
	case queue.EventDeferred:
		s.Words = e.Upstream + " put off" + who
		if e.Told != "" {
			s.State, s.Words = "", "Not taken yet for"+who+"; "+e.Upstream+" goes on trying"
		}
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
		if e.Told != "" {
			s.State, s.Words = envelope.Bounced, e.Upstream+" has not sent it to"+who
		}
	case queue.EventDelivered:
		s.State, s.Words = envelope.Delivered, "Delivered to"+who
	case queue.EventBounced:
		s.State, s.Words = envelope.Bounced, "Bounced for"+who
	case queue.EventSuppressed:
		s.State, s.Words = envelope.Bounced, e.Upstream+" does not send to"+who
	case queue.EventComplained:
		s.State, s.Words = envelope.Complained, "Called spam by"+who
	case queue.EventSoftBounced:
		s.State, s.Words = "", "Not taken this time, and given up, for"+who
	case queue.EventUnsubscribed, queue.EventOpened, queue.EventClicked:
		s.State, s.Words = "", strings.ToUpper(string(e.Kind[:1]))+string(e.Kind[1:])+" by"+who
	default:
		s.State, s.Words = "", string(e.Kind)+who
	}
	if who == "" {
		s.Words = strings.TrimSuffix(s.Words, " for")
	}
	return s
}

// Given returns what a recipient was called before aliases and rewriting, "" for the same.
func Given(r *envelope.Recipient) string {
	if r.Given == r.Address {
		return ""
	}
	return mime.AddressText(r.Given)
}
