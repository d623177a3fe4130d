package queue

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Suppressions is the list of addresses that mail is not offered to, over restarts and for all processes that share
// the store. An address is on it for the senders of one domain, or for all; addresses and domains are compared without
// regard to case.
type Suppressions interface {
	// SuppressOn says what Feedback.Apply and Rejoin put on the list from now on, in the write of what was told: by default
	// nothing. Deliveries that are told take entries off whatever the rules are (see Suppression.EndedBy).
	SuppressOn(r SuppressionRules)
	// Suppress puts addresses on the list, in one write, and returns how many entries are new or replace another
	// (see Suppression.Yields).
	Suppress(ctx context.Context, entries ...Suppression) (int, error)
	// Lift takes addresses off the list, for one domain of senders, "" (the entries for all senders) or AnyDomain, and
	// returns the entries that are gone.
	Lift(ctx context.Context, domain string, addresses ...string) ([]Suppression, error)
	// Suppressed returns the entries that are in force for mail from senders of a domain, those for all senders among
	// them: at most two for each address, which is then as it was asked for. It is asked for each recipient that a client
	// names, and costs next to nothing as long as the list is empty.
	Suppressed(ctx context.Context, domain string, addresses ...string) ([]Suppression, error)
	// Suppressions returns entries, the newest first.
	Suppressions(ctx context.Context, f SuppressionFilter) ([]Suppression, error)
}

// SuppressionRules say which of the events that are told later put an address on the list.
type SuppressionRules struct {
	On     []EventKind
	Keep   time.Duration // for how long; 0: for good
	Global bool          // for all senders, not only those of the domain whose mail it was
}

// Entry returns what something that was told of mail puts on the list; false: nothing. Where the history hides senders,
// their domain is not known, and the entry is for all; what is told of notifications, which have no sender, is for none.
func (r *SuppressionRules) Entry(j *Joined, now time.Time) (Suppression, bool) {
	refuted := (j.Kind == EventBounced || j.Kind == EventSuppressed) && j.State != envelope.Bounced // by a delivery that was later
	if !slices.Contains(r.On, j.Kind) || refuted || j.From == "" && !r.Global {
		return Suppression{}, false
	}
	s := Suppression{Address: j.Recipient, Reason: SuppressionReason(j.Kind), At: j.At, ID: j.ID, Upstream: j.Upstream, EventKey: j.Key, Words: j.Words}
	if s.At.IsZero() {
		s.At = now
	}
	if !r.Global {
		s.Domain = SenderDomain(j.From)
	}
	if r.Keep > 0 {
		s.Until = s.At.Add(r.Keep)
	}
	return s, true
}

// SenderDomain returns the domain of a sender in lower case, "" of the null sender.
func SenderDomain(from string) string {
	_, domain, _ := mime.SplitAddress(from)
	return strings.ToLower(domain)
}

// AnyDomain stands for the entries of an address for each domain and for all senders.
const AnyDomain = "*"

// SuppressionReason is why an address is on the list: the name of the event that put it there, or by hand.
type SuppressionReason string

// Why addresses are suppressed. A delivery that is told later takes an address off that bounced.
const (
	ReasonBounced      SuppressionReason = "bounced"
	ReasonComplained   SuppressionReason = "complained"
	ReasonUnsubscribed SuppressionReason = "unsubscribed"
	ReasonSuppressed   SuppressionReason = "suppressed" // by the provider, whose own list has it
	ReasonManual       SuppressionReason = "manual"
)

// SuppressionReasons returns all of them.
func SuppressionReasons() []SuppressionReason {
	return []SuppressionReason{ReasonBounced, ReasonComplained, ReasonUnsubscribed, ReasonSuppressed, ReasonManual}
}

// Suppression is an address on the list.
type Suppression struct {
	Key      string            `json:"-"`                  // its place in the list, for SuppressionFilter.After; Suppressions fills it in
	Address  string            `json:"address"`            // as it was put there
	Domain   string            `json:"-"`                  // of the senders whose mail it concerns; "": all
	Reason   SuppressionReason `json:"-"`                  // why
	At       time.Time         `json:"-"`                  // when it happened
	Until    time.Time         `json:"-"`                  // zero: for good
	By       string            `json:"by,omitempty"`       // who put it there, as people know them; "": an event did
	ID       string            `json:"id,omitempty"`       // queue id of the mail that the event was about; "": none
	Upstream string            `json:"upstream,omitempty"` // whose event or list it was; "": none
	EventKey string            `json:"event,omitempty"`    // of the event, by which the provider knows it
	Words    string            `json:"words,omitempty"`    // the provider's, or a person's
}

// SuppressionFilter chooses entries: those that all of its fields agree to. The zero value chooses all.
type SuppressionFilter struct {
	Address string // pattern, as in [Filter]
	Domain  string // AnyDomain or "": any
	Reason  SuppressionReason
	After   string // Suppression.Key of the last one of the page before
	Limit   int    // 0: no limit
}

// Check returns why an entry cannot be on the list.
func (s *Suppression) Check() error {
	switch {
	case s.Address == "" || !utf8.ValidString(s.Address):
		return errors.New("queue: a suppression needs an address")
	case s.Reason == "":
		return errors.New("queue: a suppression needs a reason")
	case s.At.IsZero():
		return errors.New("queue: a suppression needs a time")
	case s.Domain == AnyDomain:
		return errors.New("queue: a suppression is for one domain of senders, or for all")
	}
	return nil
}

// AddressKey is the text by which addresses on the list are compared.
func (s *Suppression) AddressKey() string { return mime.AddressKey(s.Address) }

// Yields reports whether an entry gives way to another one of the same address and domain: what a person put there stays
// before what events tell, a complaint or an unsubscription before a bounce, and of equals the later stays, and the one that is
// there before one of the same time.
func (s *Suppression) Yields(to *Suppression) bool {
	if c := cmp.Compare(s.weight(), to.weight()); c != 0 {
		return c < 0
	}
	return to.At.After(s.At)
}

// MayReplace reports whether an entry may stand in place of those that are there of its address: whatever is in force there
// for its domain gives way to it.
func (s *Suppression) MayReplace(there []Suppression, now time.Time) bool {
	return !slices.ContainsFunc(there, func(old Suppression) bool {
		return strings.EqualFold(old.Domain, s.Domain) && old.InForce(now) && !old.Yields(s)
	})
}

func (s *Suppression) weight() int {
	switch s.Reason {
	case ReasonManual:
		return 2
	case ReasonComplained, ReasonUnsubscribed:
		return 1
	}
	return 0
}

// EndedBy reports whether a delivery at that time, to the same address from the same senders, shows that the reason of the
// entry is no more. It shows so of bounces alone.
func (s *Suppression) EndedBy(delivered time.Time) bool {
	return s.weight() == 0 && s.At.Before(delivered)
}

// InForce reports whether the entry has not run out.
func (s *Suppression) InForce(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// Matches reports whether the filter chooses an entry; it does not look at After.
func (f *SuppressionFilter) Matches(s *Suppression) bool {
	return matchesAddress(f.Address, s.Address) && (f.Domain == "" || f.Domain == AnyDomain || strings.EqualFold(f.Domain, s.Domain)) &&
		(f.Reason == "" || f.Reason == s.Reason)
}
