// Package waiting says why mail waits: for each part of the queue the true reason in words, a code that stays the same,
// and when something will happen.
//
// The words are made here alone, so that commands, page and API show the same ones.
package waiting

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
)

// Code is a reason, for programs. Codes are never renamed.
type Code string

// The codes. With those of the first group nothing happens before somebody does something.
const (
	NotRunning Code = "not_running" // no gateway works on this queue
	NotServed  Code = "not_served"  // no gateway has the upstream it waits for, or no route matches: it is routed anew from time to time
	Paused     Code = "paused"      // an operator has paused the upstream
	HeldRoute  Code = "held_route"
	HeldBy     Code = "held_operator"
	HeldUnsure Code = "held_uncertain" // nobody knows whether it was taken
	Held       Code = "held"           // for what the last error says
	Failed     Code = "failed"         // given up

	Elsewhere  Code = "elsewhere"   // another gateway delivers it
	InFlight   Code = "in_flight"   // it is being offered
	Closed     Code = "closed"      // the upstream does not work, or not for this account
	Probing    Code = "probing"     // one mail tries the upstream
	Sender     Code = "sender"      // the upstream works, but not for mail with this From
	Quota      Code = "quota"       // that of the config is used up
	Rate       Code = "rate"        // the upstream takes so many a second
	DomainRate Code = "domain_rate" // the recipients' domain is given so many a second
	Turn       Code = "turn"        // there is other mail before it
	Retry      Code = "retry"       // its next attempt is not due
	Digest     Code = "digest"      // given up; its sender will be told
	Store      Code = "store"       // the store does not take results
)

// Why is why a part waits.
type Why struct {
	Code  Code
	Words string    // for people, in one line
	At    time.Time // when something will happen to it, or is expected to; zero: nothing by itself, or nobody knows
}

// DigestLane is the lane of failures that are reported in a digest; no upstream can have this name.
const DigestLane = "(bounces)"

// InDigest says what the mail of DigestLane is.
const InDigest = "mail that was given up; its sender gets a digests"

// View is delivery as it is at one moment. The zero value is that of a gateway that does not run.
type View struct {
	Running   bool
	Now       time.Time // the time of day that schedules go by; zero: that of this machine
	Upstreams map[string]gate.Status
	UnderWay  map[Key]time.Time // since when offers are under way, by the time of this machine
	Stuck     bool              // results of offers cannot be recorded: nothing new is offered

	lanes map[string]queue.Lane
	ahead map[Key]int // parts that are before this one in its lane
}

// Key names a part: a recipient is in no other part of its message.
type Key struct{ ID, Address string }

// KeyOf returns the key of a part.
func KeyOf(id string, to []envelope.Recipient) Key { return Key{id, to[0].Address} }

// Of says why a part of m waits.
func (v *View) Of(m *queue.Message, p *queue.Part) Why {
	switch p.State {
	case envelope.Held:
		return v.held(p)
	case envelope.Failed:
		return Why{Code: Failed, Words: with("given up", p.Progress.Error)}
	}
	if !v.Running {
		return Why{Code: NotRunning, Words: "the gateway is not running"}
	}
	if since, ok := v.UnderWay[KeyOf(m.ID, p.To)]; ok {
		return Why{InFlight, "in flight for " + span(time.Since(since)), v.now()}
	}
	if p.Lane == DigestLane {
		return Why{Digest, "given up; its sender gets a digest " + v.when(p.NextAt), p.NextAt}
	}
	u, ok := v.Upstreams[p.Lane]
	switch {
	case !ok:
		return v.notServed(p)
	case v.Stuck && u.State == gate.Open.String():
		return Why{Code: Store, Words: "the store cannot record results, so nothing is offered"}
	case u.State != gate.Open.String():
		return v.closed(p, &u)
	case p.NextAt.After(v.now()):
		if r := v.refused(p, &u); r != nil {
			return Why{Sender, "waits for " + p.Lane + ", which " + v.refuses(p.Progress.RefusedFrom, r), v.day(r.Until)}
		}
		return v.later(p)
	}
	return v.turn(m, p, &u)
}

func (v *View) held(p *queue.Part) Why {
	h, unsure := p.Progress.Hold, ""
	if p.Interrupted || p.Progress.Uncertain {
		unsure = "; it may have been sent already: the outcome of its last offer is unknown"
	}
	switch {
	case h != nil && h.Rule != "":
		return Why{Code: HeldRoute, Words: "held by " + route.Title(h.Rule) + unsure}
	case h != nil:
		return Why{Code: HeldBy, Words: "held by " + cmp.Or(h.By, "an operator") + " at " + v.clock(h.At) + unsure}
	case p.Progress.Uncertain:
		return Why{Code: HeldUnsure, Words: with("held because its outcome is unknown", p.Progress.Error)}
	}
	return Why{Code: Held, Words: with("held", p.Progress.Error)}
}

// notServed is about mail whose upstream this gateway does not have.
func (v *View) notServed(p *queue.Part) Why {
	words := "no gateway serves upstream " + p.Lane
	switch {
	case v.lanes[p.Lane].Served:
		return Why{Elsewhere, "another gateway delivers mail for " + p.Lane, p.NextAt}
	case p.Lane == "":
		words = "it has no upstream"
	}
	return Why{NotServed, with(words+"; it is routed again "+v.when(p.NextAt), p.Progress.Error), v.due(p.NextAt)}
}

// closed is about mail whose upstream takes none for now.
func (v *View) closed(p *queue.Part, u *gate.Status) Why {
	next := v.day(u.NextProbe)
	switch {
	case u.Pause != nil:
		return Why{Code: Paused, Words: Upstream(u)}
	case u.Reason == gate.Quota.String():
		return Why{Quota, Upstream(u), next}
	case u.State == gate.Probing.String():
		return Why{Probing, with("waits for "+p.Lane+", which is tried with one mail", u.LastError), v.now()}
	}
	return Why{Closed, "waits for " + p.Lane + " (" + Upstream(u) + ")", next}
}

// later is about mail whose time has not come.
func (v *View) later(p *queue.Part) Why {
	switch {
	case p.Progress.Error == gate.ErrDomainRate.Error():
		return Why{DomainRate, "rate_per_domain: its turn comes " + v.when(p.NextAt), p.NextAt}
	case p.Progress.Attempts == 0:
		return Why{Retry, with("its time comes "+v.when(p.NextAt), p.Progress.Error), p.NextAt}
	}
	return Why{Retry, with(fmt.Sprintf("retry %d %s", p.Progress.Attempts, v.when(p.NextAt)), p.Progress.Error), p.NextAt}
}

// refused returns what stands against the From of mail that waits for that; nil: nothing any longer.
func (v *View) refused(p *queue.Part, u *gate.Status) *gate.Refused {
	for i := range u.Refused {
		if p.Progress.RefusedFrom != "" && u.Refused[i].Covers(p.Progress.RefusedFrom) {
			return &u.Refused[i]
		}
	}
	return nil
}

// refuses says that an upstream takes no mail with a From.
func (v *View) refuses(from string, r *gate.Refused) string {
	words := ""
	if r.Err != nil {
		words = r.Error()
	}
	return with("refuses mail from "+from, words) + "; next try " + v.when(v.day(r.Until))
}

// turn is about mail that is due.
func (v *View) turn(m *queue.Message, p *queue.Part, u *gate.Status) Why {
	n, known := v.ahead[KeyOf(m.ID, p.To)]
	before := "it is next"
	switch {
	case !known:
		before = "it is due"
	case n >= MostAhead:
		before = fmt.Sprintf("%d or more before it", MostAhead)
	case n > 0:
		before = fmt.Sprintf("%d before it", n)
	}
	switch {
	case time.Now().Before(u.NextProbe):
		return Why{Rate, "rate: " + p.Lane + " asked for a pause until " + v.clock(u.NextProbe) + "; " + before, v.day(u.NextProbe)}
	case u.Rate > 0 && n < MostAhead:
		next := v.now()
		if u.NextToken.After(time.Now()) {
			next = v.day(u.NextToken)
		}
		return Why{Rate, "rate: " + before, next.Add(time.Duration(float64(n) / u.Rate * float64(time.Second)))}
	case u.Rate > 0:
		return Why{Code: Rate, Words: "rate: " + before}
	case n > u.MaxConcurrent: // when depends on how quick the upstream is
		return Why{Code: Turn, Words: before}
	}
	return Why{Turn, before, v.now()}
}

// Upstream says why mail waits for an upstream, all of it or that of some senders; "" where it need not.
func Upstream(u *gate.Status) string {
	switch {
	case u.Pause != nil:
		return u.Pause.String()
	case u.State == gate.Open.String() && len(u.Refused) > 0:
		words := (&View{}).refuses(u.Refused[0].From, &u.Refused[0])
		if more := len(u.Refused) - 1; more > 0 {
			words += fmt.Sprintf("; and %d more", more)
		}
		return words
	case u.State == gate.Open.String() || u.State == "":
		return ""
	case u.Reason == gate.Quota.String():
		return "quota: until " + calendar(u.NextProbe, u.Quota)
	case u.State == gate.Probing.String():
		return with("probing with one mail", u.LastError)
	}
	return with("closed", u.LastError) + "; probe " + (&View{}).when(u.NextProbe)
}

// calendar formats the end of a quota's window in the time zone that it is counted in.
func calendar(end time.Time, quotas []gate.Left) string {
	for _, q := range quotas {
		if d := q.Until.Sub(end); q.Left == 0 && d.Abs() < time.Minute {
			end = q.Until
		}
	}
	if time.Until(end) < 24*time.Hour {
		return end.Format("15:04 MST")
	}
	return end.Format("2006-01-02 15:04 MST")
}

// with adds the words of an error.
func with(words, err string) string {
	if err == "" {
		return words
	}
	return words + ": " + strings.TrimSuffix(err, ".")
}

// now is the time of day that schedules go by.
func (v *View) now() time.Time {
	if v.Now.IsZero() {
		return time.Now()
	}
	return v.Now
}

// day returns the time of day of a time of this machine.
func (v *View) day(t time.Time) time.Time { return v.now().Add(time.Until(t)).Round(0) }

// due returns a time that is not over.
func (v *View) due(t time.Time) time.Time {
	if now := v.now(); t.Before(now) {
		return now
	}
	return t
}

// when says how far ahead a time is, or which it is.
func (v *View) when(t time.Time) string {
	switch d := t.Sub(v.now()); {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return "in " + span(d)
	}
	return "at " + v.clock(t)
}

// clock formats a time in the time zone of this machine, without its date where it is near.
func (v *View) clock(t time.Time) string {
	if t.Sub(v.now()).Abs() < 12*time.Hour {
		return t.Local().Format("15:04")
	}
	return t.Local().Format("2006-01-02 15:04")
}

// span formats a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
