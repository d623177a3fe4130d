// Package suppression says which later events put addresses on the list of those that get no mail, and how a recipient is
// refused that is on it.
package suppression

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/config/hint"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// Rules are the table [suppression] of the config.
type Rules struct {
	On    []string          `toml:"on"`    // events that put an address on the list; empty: none does
	Keep  upstream.Duration `toml:"keep"`  // for how long; 0: until it is lifted
	Scope string            `toml:"scope"` // domain | global: whose mail an event concerns
}

// Default are the rules of a config that has none.
func Default() Rules {
	return Rules{On: []string{upstream.Bounced.String(), upstream.Complained.String()}, Keep: upstream.Duration{Duration: 180 * 24 * time.Hour}, Scope: "domain"}
}

// events lists those that say something about an address.
func events() []string {
	return []string{upstream.Bounced.String(), upstream.Complained.String(), upstream.Suppressed.String(), upstream.Unsubscribed.String()}
}

// Check returns what is wrong with the rules. Keys are those of the table.
func (r *Rules) Check() (problems []*upstream.KeyError) {
	for i, on := range r.On {
		if slices.Contains(events(), on) {
			continue
		}
		what := cmp.Or(hint.DidYouMean(on, events()), "write some of "+hint.Either(events())+", or [] for none")
		if _, known := upstream.ParseEventKind(on); known {
			what = "it says nothing about the address: write some of " + hint.Either(events())
		}
		problems = append(problems, &upstream.KeyError{Key: fmt.Sprintf("on[%d]", i), Problem: fmt.Sprintf("cannot be %q", on), Hint: what})
	}
	if r.Keep.Duration < 0 || r.Keep.Duration > 0 && r.Keep.Duration < time.Hour {
		problems = append(problems, &upstream.KeyError{Key: "keep", Problem: "must be an hour or longer", Hint: `"180d" is usual; "0s" keeps addresses until you remove them`})
	}
	if r.Scope != "domain" && r.Scope != "global" {
		problems = append(problems, &upstream.KeyError{Key: "scope", Problem: fmt.Sprintf("must be \"domain\" or \"global\", not %q", r.Scope),
			Hint: `"domain": mail from other sender domains still goes to the address`})
	}
	return problems
}

// ForQueue returns the rules as the queue follows them.
func (r *Rules) ForQueue() queue.SuppressionRules {
	rules := queue.SuppressionRules{Keep: r.Keep.Duration, Global: r.Scope == "global"}
	for _, on := range r.On {
		rules.On = append(rules.On, queue.EventKind(on))
	}
	return rules
}

// Lookup asks the list; it is the method of queue.Suppressions.
type Lookup func(ctx context.Context, domain string, addresses ...string) ([]queue.Suppression, error)

// Refusals returns the replies to those recipients of a sender that are on the list, by their addresses.
func Refusals(ctx context.Context, ask Lookup, from string, to ...string) (map[string]*envelope.Reply, error) {
	if ask == nil || len(to) == 0 {
		return nil, nil
	}
	found, err := ask(ctx, queue.SenderDomain(from), to...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	chosen := map[string]*queue.Suppression{}
	for i := range found {
		s := &found[i]
		if other := chosen[s.Address]; other == nil || other.Yields(s) {
			chosen[s.Address] = s
		}
	}
	replies := make(map[string]*envelope.Reply, len(chosen))
	for address, s := range chosen {
		replies[address] = Reply(s)
	}
	return replies, nil
}

// mostWords is how many bytes of a provider's words a reply repeats.
const mostWords = 200

// Reply returns the refusal of a recipient: 5.1.1 where the mailbox is not there (RFC 3463 3.2), else 5.7.1 (3.8).
func Reply(s *queue.Suppression) *envelope.Reply {
	r := &envelope.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}}
	why := ""
	switch s.Reason {
	case queue.ReasonBounced:
		r.Enhanced, why = [3]int{5, 1, 1}, "mail to it bounced"
	case queue.ReasonComplained:
		why = "its owner has complained about mail"
	case queue.ReasonUnsubscribed:
		why = "its owner wants no more mail"
	case queue.ReasonSuppressed:
		why = "the provider sends nothing to it"
	default:
		why = "by hand"
	}
	if words := strings.ToValidUTF8(s.Words[:min(len(s.Words), mostWords)], ""); words != "" {
		why += " (" + strings.Join(strings.Fields(words), " ") + ")"
	}
	r.Text = fmt.Sprintf("%s has been suppressed since %s: %s", s.Address, s.At.UTC().Format(time.DateOnly), why)
	return r
}
