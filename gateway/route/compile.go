package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Rule is one [[route]] of the config. All conditions that are set must hold.
type Rule struct {
	Name       string
	From       []string            // envelope sender
	To         []string            // envelope recipient
	HeaderFrom []string            // any address in the From field
	Subject    []string            // decoded
	Header     map[string][]string // field name to patterns for its values; all names must hold
	Client     []string            // networks or addresses
	User       []string            // AUTH name, or "uid:NAME" on the submission socket
	Listener   []string            // address of the listener as the config spells it
	MinSize    int64               // bytes, at least; 0 no condition
	MaxSize    int64               // bytes, at most; 0 no condition

	// Exactly one of these is set.
	Via     []string       // upstreams in the order of failover
	Balance map[string]int // upstreams with their share; the others take over when one fails
	Reject  string         // "550 text" or "550 5.7.1 text"
	Discard bool
	Hold    bool

	OnFailure     string // "", "bounce", "keep" or "discard"
	FailoverAfter int    // temporary failures at one upstream before the next is tried; 0: the default
}

// KeyError is a key of a rule that cannot be used.
type KeyError struct {
	Rule    int    // index in the list given to Compile or CompileRewrites
	Key     string // as in the config: "from", "header.X-Class"; "" for the rule as a whole
	Problem string
	Hint    string // what to do; may be empty
}

// Error gives rule (counted from 1), key and problem.
func (e *KeyError) Error() string {
	return fmt.Sprintf("rule %d: %s", e.Rule+1, strings.TrimSpace(e.Key+" "+e.Problem))
}

// rule is a compiled Rule.
type rule struct {
	index         int
	name          string
	early, late   []condition // what the envelope tells; what takes the message
	action        Action
	via           []string
	balance       []weight
	reply         Reply
	onFailure     string
	failoverAfter int
}

// Compile makes a table. Its error joins one *KeyError for each key that cannot be used.
func Compile(rules []Rule) (*Table, error) {
	t := &Table{rules: make([]rule, len(rules))}
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
	errs  []error
}

func (c *compiler) fail(key, problem, hint string) {
	c.errs = append(c.errs, &KeyError{Rule: c.index, Key: key, Problem: problem, Hint: hint})
}

func (c *compiler) compile(in *Rule) rule {
	r := rule{index: c.index, name: in.Name, via: in.Via, onFailure: in.OnFailure, failoverAfter: in.FailoverAfter}
	if r.name == "" {
		r.name = fmt.Sprintf("route %d", c.index+1)
	}
	m := in.match()
	r.early = c.earlyConditions(&m)
	r.late = c.lateConditions(&m)
	c.action(in, &r)
	switch in.OnFailure {
	case "", "bounce", "keep", "discard":
	default:
		c.fail("on_failure", fmt.Sprintf(`must be "bounce", "keep" or "discard", not %q`, in.OnFailure), "")
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
	const hint = "give exactly one of via, balance, reject, discard and hold"
	switch len(set) {
	case 1:
	case 0:
		c.fail("", "does not say what to do", hint)
	default:
		c.fail(set[1], "cannot stand beside "+set[0], hint)
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
	reply, problem := ParseReply(text)
	if problem != "" {
		c.fail("reject", problem, `write "550 text" or "550 5.7.1 text"`)
	}
	r.reply = reply
}

// maxReplyText keeps a reply line within the 512 bytes of RFC 5321 4.5.3.1.5.
const maxReplyText = 480

// ParseReply reads "550 text" or "550 5.7.1 text"; without the enhanced code of RFC 3463 it is
// 5.7.1 or 4.7.1. problem is empty when the text can be used.
func ParseReply(s string) (reply Reply, problem string) {
	code, text, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 400 || n > 559 || n == 421 || n/10%10 > 5 {
		return Reply{}, fmt.Sprintf("must begin with a reply code from 4xx or 5xx (but not 421), not %q", code)
	}
	reply = Reply{Code: n, Enhanced: [3]int{n / 100, 7, 1}}
	text = strings.TrimSpace(text)
	if first, rest, _ := strings.Cut(text, " "); looksEnhanced(first) {
		enhanced, ok := parseEnhanced(first)
		if !ok || enhanced[0] != n/100 {
			return Reply{}, fmt.Sprintf("has the enhanced code %q that does not go with %d", first, n)
		}
		reply.Enhanced, text = enhanced, strings.TrimSpace(rest)
	}
	if text == "" {
		return Reply{}, "has no text after the code"
	}
	if len(text) > maxReplyText {
		return Reply{}, fmt.Sprintf("must have at most %d bytes of text", maxReplyText)
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return Reply{}, "must be one line of ASCII text"
		}
	}
	reply.Text = text
	return reply, ""
}

func looksEnhanced(s string) bool {
	return strings.Count(s, ".") == 2 && strings.Trim(s, "0123456789.") == ""
}

func parseEnhanced(s string) (code [3]int, ok bool) {
	for i, part := range strings.Split(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n > 999 {
			return code, false
		}
		code[i] = n
	}
	return code, true
}
