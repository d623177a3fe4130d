// Package envelope holds the shared nouns: who sends to whom, what became of each recipient, the SMTP reply.
package envelope

import (
	"net/netip"
	"strings"
	"time"
)

// Envelope is an SMTP envelope (RFC 5321 2.3.1) with the circumstances in which it was handed over:
// everything that routing may ask about, except the header and the size of the message.
type Envelope struct {
	From     string      `json:"from"`              // reverse-path without brackets; "" is the null sender <>
	To       []Recipient `json:"to"`                // forward-paths in the order of RCPT
	Ret      string      `json:"ret,omitempty"`     // RFC 3461 4.3: "", "FULL" or "HDRS"
	EnvID    string      `json:"envid,omitempty"`   // RFC 3461 4.4, decoded from xtext
	Body     string      `json:"body,omitempty"`    // RFC 6152: "", "7BIT" or "8BITMIME"
	UTF8     bool        `json:"utf8,omitempty"`    // RFC 6531: SMTPUTF8 was asked for
	Client   Client      `json:"client"`            // who handed it over
	Received time.Time   `json:"received,omitzero"` // when the message came
	Gateway  string      `json:"gateway,omitempty"` // that took it, where several share the queue
	Own      []string    `json:"own,omitempty"`     // fields for a provider (upstream.IsControlField) that rules wrote: no upstream strips them
}

// Client is the program that handed a message over.
type Client struct {
	Addr     netip.Addr `json:"addr,omitzero"`      // zero for unix sockets, bounces and direct calls
	Helo     string     `json:"helo,omitempty"`     // what it called itself in HELO or EHLO
	Protocol string     `json:"protocol,omitempty"` // RFC 3848: SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP…
	User     string     `json:"user,omitempty"`     // AUTH name, "uid:NAME" on the submission socket, "" unknown
	Listener string     `json:"listener,omitempty"` // address of the listener as the config spells it
	TLS      string     `json:"tls,omitempty"`      // "" for plaintext, else the version and cipher suite
}

// CanaryListener is the Client.Listener of canaries, which the gateway sends itself to see whether upstreams deliver.
const CanaryListener = "canary"

// Recipient is one forward-path with its RFC 3461 parameters.
type Recipient struct {
	Address string   `json:"address"`          // local@domain, without brackets; what the upstream gets
	Given   string   `json:"given,omitempty"`  // as the client wrote it, when an alias or a rewrite changed it
	Notify  []string `json:"notify,omitempty"` // NEVER, SUCCESS, FAILURE, DELAY; empty means not given
	ORcpt   string   `json:"orcpt,omitempty"`  // "rfc822;ann@example.org", decoded from xtext
}

// State is what became of recipients, or what they wait for.
type State string

// The states of recipients. The first three are waiting in the queue, the others are final,
// though a failed one can be retried for as long as it is kept, and of a sent one its provider may tell more later.
const (
	Queued    State = "queued"    // due, or waiting for its next attempt
	Held      State = "held"      // by a route or an operator: only `queue release` moves it
	Failed    State = "failed"    // given up; kept for keep_failed
	Sent      State = "sent"      // an upstream took responsibility
	Discarded State = "discarded" // by a route, or deleted by an operator
	Refused   State = "refused"   // when its client handed it over: it was never accepted

	Delivered  State = "delivered"  // sent, and its provider says that it arrived
	Bounced    State = "bounced"    // sent, and its provider says that it did not and will not arrive
	Complained State = "complained" // sent, and who got it called it spam
)

// Finals are the states that recipients end in.
func Finals() []State {
	return []State{Failed, Bounced, Complained, Sent, Delivered, Discarded, Refused}
}

// States are all, those that need attention first.
func States() []State { return append([]State{Queued, Held}, Finals()...) }

// IsSent reports whether an upstream took the mail, whatever was told later.
func (s State) IsSent() bool { return s == Sent || s == Delivered || s == Bounced || s == Complained }

// Progress is what delivery knows of recipients that wait together; the queue stores it as it is.
type Progress struct {
	Attempts     int       `json:"attempts,omitempty"` // offers made, to whichever upstream
	FirstAttempt time.Time `json:"first_attempt,omitzero"`
	LastAttempt  time.Time `json:"last_attempt,omitzero"`
	Upstream     string    `json:"upstream,omitempty"`     // offered to last
	Gateway      string    `json:"gateway,omitempty"`      // that made the last offer, where several share the queue
	Since        time.Time `json:"since,omitzero"`         // first offer to Upstream: idempotency keys count from here
	Tries        int       `json:"tries,omitempty"`        // offers to Upstream
	Passed       []string  `json:"passed,omitempty"`       // upstreams of `via` that delivery has moved on from
	Unfit        []string  `json:"unfit,omitempty"`        // upstreams that cannot carry the message faithfully
	Uncertain    bool      `json:"uncertain,omitempty"`    // Upstream may have taken it: no other one may be tried
	Digest       string    `json:"digest,omitempty"`       // Uncertain only: of the request that Upstream may have taken
	Changed      bool      `json:"changed,omitempty"`      // Uncertain only: the request would be another one now; an operator decides
	Key          string    `json:"key,omitempty"`          // stem of idempotency keys, where it is not the queue id
	Class        string    `json:"class,omitempty"`        // of the last error: an upstream.Class as text
	Status       int       `json:"status,omitempty"`       // HTTP status or SMTP reply code of the last error
	Enhanced     string    `json:"enhanced,omitempty"`     // RFC 3463 code of the last error
	Error        string    `json:"error,omitempty"`        // the last error; the provider's own text where there is one
	RefusedFrom  string    `json:"refused_from,omitempty"` // the From that Upstream, or that of the lane, refuses: it waits for that
	Refused      bool      `json:"refused,omitempty"`      // at acceptance, with this error: rules have no say
	Asked        time.Time `json:"asked,omitzero"`         // an operator released or moved it
	Renewed      time.Time `json:"renewed,omitzero"`       // an operator retried it: its age counts from here
	Released     bool      `json:"released,omitempty"`     // by an operator: rules that hold no longer apply
	Moved        string    `json:"moved,omitempty"`        // upstream that an operator has chosen: routes have no say
	Followed     bool      `json:"followed,omitempty"`     // since then aliases have been followed once more
	Warned       bool      `json:"warned,omitempty"`       // the sender has been notified of the delay
	Warnings     int       `json:"warnings,omitempty"`     // for how many times of warn_after; 0 where there was but one to be notified for
	Divided      bool      `json:"divided,omitempty"`      // the log has said that a quota divides it
	Turn         *Turn     `json:"turn,omitempty"`         // that rate_per_domain has given, and nobody has used; nil: none
	InDigest     bool      `json:"owed,omitempty"`         // given up; the next digest notifies the sender
	Hold         *Hold     `json:"hold,omitempty"`         // who has put it on hold, for as long as it is; nil: neither a route nor an operator
}

// Turn is when the recipients of a domain may be offered to an upstream. It is not changed once it is there.
type Turn struct {
	Upstream string    `json:"upstream"`
	Rate     float64   `json:"rate"` // offers a second that were allowed
	Domain   string    `json:"domain"`
	At       time.Time `json:"at"`
}

// Hold says who keeps recipients from being delivered. It is not changed once it is there.
type Hold struct {
	Rule string    `json:"rule,omitempty"` // name of the route
	By   string    `json:"by,omitempty"`   // or the operator
	At   time.Time `json:"at,omitzero"`    // when an operator did
}

// WarnedTimes returns for how many times of warn_after the sender has been notified.
func (p *Progress) WarnedTimes() int {
	if p.Warned {
		return max(p.Warnings, 1)
	}
	return 0
}

const maxErrorText = 1000 // bytes

// ErrorText returns the text of an error as Progress.Error keeps it: one line of at most 1000 bytes.
func ErrorText(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return s
}
