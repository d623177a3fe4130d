// Package route decides for each recipient of a message where it goes: rules are read in order and
// the first whose conditions all hold decides. Before that, [Rewrites] change the message by rules with
// the same conditions, of which all that match apply.
//
// # Patterns
//
// The lists from, to, header_from, subject, header, user and listener hold glob patterns that are
// compared with the whole value, ignoring case: `*` is any text, also none, and `?` is one character.
// `!` before a pattern negates it. A list holds when one of its plain patterns matches (or it has
// none) and none of its negated ones does. client holds networks or addresses likewise.
//
// The null sender is the empty text: the patterns "" and "<>" name it, and "*" matches it as well.
// A header field that is missing, a client without authentication (user), and a client that did not
// come by the network (client) have no value at all: plain patterns never match them, negated ones
// never exclude them. Thus user = "*" means "authenticated" and header = { "X-Spam" = "!*" } means
// "without the field X-Spam". A missing Subject is the empty text.
package route

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"mailhatch/gateway/envelope"
)

// Input is what rules may ask about. Only To changes between the recipients of a message: what the other
// fields decide is found out once. It is used by one goroutine at a time.
type Input struct {
	ID         string                     // of the message: a balance sends equal ids to the same upstream
	Envelope   *envelope.Envelope         // From and Client count; To does not
	To         string                     // the recipient, qualified and after aliases
	HeaderFrom []string                   // addresses in the From field
	Subject    string                     // decoded
	Header     func(name string) []string // decoded values of all fields of that name; nil means no header
	Size       int64                      // bytes of the message
	Released   bool                       // an operator released it: rules that hold are passed over

	late map[*conditions]bool // whether the late ones hold, once evaluated
}

// lateHolds reports whether the conditions that need the message hold. They do not depend on the recipient.
func (in *Input) lateHolds(c *conditions) bool {
	if len(c.late) == 0 {
		return true
	}
	holds, known := in.late[c]
	if !known {
		if in.late == nil {
			in.late = map[*conditions]bool{}
		}
		holds = all(c.late, in)
		in.late[c] = holds
	}
	return holds
}

// Action is what happens to a recipient.
type Action int

// The actions. The zero value is the safe one: the mail is kept.
const (
	Hold    Action = iota // accept and wait for an operator
	Deliver               // accept and offer it to Via
	Reject                // refuse with Reply
	Discard               // accept and forget
)

// String returns the name that the config and `mailhatch route` use.
func (a Action) String() string {
	switch a {
	case Deliver:
		return "via"
	case Reject:
		return "reject"
	case Discard:
		return "discard"
	}
	return "hold"
}

// Decision is the outcome of the rules for one recipient.
type Decision struct {
	Rule          int    // index of the rule in the table, -1 when none matched
	Name          string // of the rule: its own, else "route 3" (counted from 1); "" when none matched
	Action        Action
	Via           []string       // Deliver: upstreams in the order of failover; shared, not to be changed
	Reply         envelope.Reply // Reject
	OnFailure     string         // "" (as [queue] says), "bounce", "keep" or "discard"
	OnLateBounce  string         // "" (as [queue] says), "bounce" or "log"
	FailoverAfter int            // temporary failures at one upstream before the next of Via is tried; 0: as [queue] says
	Regardless    bool           // of the list of suppressed addresses
}

// Title returns what a sentence calls the rule of that name: "route drafts", and "route 3" of a rule without a name.
func Title(name string) string {
	if n, ok := strings.CutPrefix(name, "route "); ok {
		if _, err := strconv.Atoi(n); err == nil {
			return name
		}
	}
	return "route " + name
}

// NoRoute is the reply for a recipient that no rule matches.
func NoRoute() envelope.Reply {
	return envelope.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Text: "no route for this sender and recipient"}
}

// Table is a list of rules, ready for use from many goroutines at once.
type Table struct {
	rules []rule
	hits  []atomic.Int64 // of each rule
}

// Decide reports what happens to the recipient. When no rule matches the decision is to reject with [NoRoute].
func (t *Table) Decide(in *Input) Decision {
	for i := range t.rules {
		r := &t.rules[i]
		if !r.passedOver(in) && r.holds(in) {
			return r.decide(in)
		}
	}
	return unrouted()
}

// Early decides with the envelope alone, when header and size are not known yet. It returns false
// when a rule that might match waits for them. Its decision is the one that Decide would make
// with any header and size.
func (t *Table) Early(in *Input) (Decision, bool) {
	for i := range t.rules {
		r := &t.rules[i]
		if r.passedOver(in) || !all(r.early, in) {
			continue
		}
		if len(r.late) > 0 {
			return Decision{}, false
		}
		return r.decide(in), true
	}
	return unrouted(), true
}

func unrouted() Decision {
	return Decision{Rule: -1, Action: Reject, Reply: NoRoute()}
}

// passedOver reports whether the rule only holds mail that was released already.
func (r *rule) passedOver(in *Input) bool {
	return in.Released && r.action == Hold
}

func (r *rule) decide(in *Input) Decision {
	d := Decision{
		Rule: r.index, Name: r.name, Action: r.action, Via: r.via, Reply: r.reply,
		OnFailure: r.onFailure, OnLateBounce: r.onLateBounce, FailoverAfter: r.failoverAfter, Regardless: r.regardless,
	}
	if len(r.balance) > 0 {
		d.Via = balanced(r.balance, in.ID)
	}
	return d
}

type weight struct {
	name   string
	weight float64
}

// balanced orders upstreams by weighted rendezvous hashing: the share of ids that find an upstream
// in the first place is its share of the weights, and an id keeps its order when weights stay.
func balanced(weights []weight, id string) []string {
	type scored struct {
		name  string
		score float64
	}
	all := make([]scored, len(weights))
	for i, w := range weights {
		h := fnv.New64a()
		_, _ = h.Write([]byte(w.name + "\x00" + id))
		// 53 bits make a uniform number in (0, 1); the mixing spreads what FNV leaves in the low bits.
		u := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53)
		all[i] = scored{w.name, -math.Log(u) / w.weight}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(a.score, b.score) })
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	return names
}

// mix is the finalizer of MurmurHash3 (public domain): each input bit changes half of the output bits.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Len is the number of rules.
func (t *Table) Len() int { return len(t.rules) }

// Alternatives reports whether some rule names another upstream beside this one.
func (t *Table) Alternatives(upstream string) bool {
	return slices.ContainsFunc(t.rules, func(r rule) bool {
		if len(r.balance) > 1 {
			return slices.ContainsFunc(r.balance, func(w weight) bool { return w.name == upstream })
		}
		return len(r.via) > 1 && slices.Contains(r.via, upstream)
	})
}
