package route

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"mailhatch/gateway/envelope"
)

// Rule is one [[route]] of the config. All conditions that are set must hold.
type Rule struct {
	Name string `toml:"name,text"`
	Match

	// Exactly one of these is set.
	Via     []string       `toml:"via"`         // upstreams in the order of failover
	Balance map[string]int `toml:"balance"`     // upstreams with their share; the others take over when one fails
	Reject  string         `toml:"reject,text"` // "550 text" or "550 5.7.1 text"
	Discard bool           `toml:"discard"`
	Hold    bool           `toml:"hold"`

	OnFailure     string `toml:"on_failure"`     // "", "bounce", "keep" or "discard"
	OnLateBounce  string `toml:"on_late_bounce"` // "", "bounce" or "log"
	FailoverAfter int    `toml:"failover_after"` // temporary failures at one upstream before the next is tried; 0: the default
	Suppression   *bool  `toml:"suppression"`    // false: addresses on the list get this mail all the same
}

// KeyError is a key of a rule that cannot be used.
type KeyError struct {
	Rule    int    // index in the list given to Compile or CompileRewrites
	Item    int    // of the list that the key holds, counted from 1; 0: the value as a whole
	Key     string // as in the config: "from", "header.X-Class"; "" for the rule as a whole
	Problem string
	Hint    string // what to do; may be empty
}

// Error returns rule (counted from 1), key and problem.
func (e *KeyError) Error() string {
	return fmt.Sprintf("rule %d: %s", e.Rule+1, strings.TrimSpace(e.Key+" "+e.Problem))
}

// rule is a compiled Rule.
type rule struct {
	conditions
	index         int
	name          string
	action        Action
	via           []string
	balance       []weight
	reply         envelope.Reply
	onFailure     string
	onLateBounce  string
	failoverAfter int
	regardless    bool
}

// Compile makes a table. Its error joins one *KeyError for each key that cannot be used.
func Compile(rules []Rule) (*Table, error) {
	t := &Table{rules: make([]rule, len(rules)), hits: make([]atomic.Int64, len(rules))}
	var errs []error
	for i := range rules {
		c := compiler{index: i}
		t.rules[i] = c.compile(&rules[i])
		errs = append(errs, c.errs...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

type compiler struct {
	index int
	item  int // of the list that is looked at, counted from 1; 0: none
	errs  []error
}

func (c *compiler) fail(key, problem, hint string) {
	c.errs = append(c.errs, &KeyError{Rule: c.index, Item: c.item, Key: key, Problem: problem, Hint: hint})
}

func (c *compiler) compile(in *Rule) rule {
	r := rule{index: c.index, name: cmp.Or(in.Name, fmt.Sprintf("route %d", c.index+1)), via: in.Via, onFailure: in.OnFailure, onLateBounce: in.OnLateBounce, failoverAfter: in.FailoverAfter}
	r.conditions = c.conditions(&in.Match)
	c.action(in, &r)
	if in.Suppression != nil {
		r.regardless = !*in.Suppression
		if r.action == Reject || r.action == Discard {
			c.fail("suppression", "does nothing here: the rule sends no mail", "it goes with via, balance and hold")
		}
	}
	switch in.OnFailure {
	case "", "bounce", "keep", "discard":
	default:
		c.fail("on_failure", fmt.Sprintf(`must be "bounce", "keep" or "discard", not %q`, in.OnFailure), "")
	}
	switch in.OnLateBounce {
	case "", "bounce", "log":
	default:
		c.fail("on_late_bounce", fmt.Sprintf(`must be "bounce" or "log", not %q`, in.OnLateBounce), "")
	}
	if in.FailoverAfter < 0 {
		c.fail("failover_after", "must be a number of attempts, 1 or more", "")
	}
	return r
}

func (c *compiler) action(in *Rule, r *rule) {
	var set []string
	for _, a := range []struct {
		key string
		set bool
		do  Action
	}{
		{"via", len(in.Via) > 0, Deliver}, {"balance", len(in.Balance) > 0, Deliver},
		{"reject", in.Reject != "", Reject}, {"discard", in.Discard, Discard}, {"hold", in.Hold, Hold},
	} {
		if a.set {
			set = append(set, a.key)
			r.action = a.do
		}
	}
	const hint = "set exactly one of via, balance, reject, discard and hold"
	switch len(set) {
	case 1:
	case 0:
		c.fail("", "has no action", hint)
	default:
		c.fail(set[1], "cannot be combined with "+set[0], hint)
	}
	if in.Reject != "" {
		c.reject(in.Reject, r)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Balance)) {
		if in.Balance[name] < 1 || in.Balance[name] > 1_000_000 {
			c.fail("balance."+name, "must be a share from 1 to 1000000", "")
		}
		r.balance = append(r.balance, weight{name, float64(in.Balance[name])})
	}
}

func (c *compiler) reject(text string, r *rule) {
	reply, err := envelope.ParseReply(text)
	if err != nil {
		c.fail("reject", err.Error(), `write "550 text" or "550 5.7.1 text"`)
	}
	r.reply = reply
}
