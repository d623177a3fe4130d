package bounce

import (
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Action is what a notification reports (RFC 3464 2.3.3).
type Action string

// The actions that mailhatch reports.
const (
	Failed  Action = "failed"
	Delayed Action = "delayed"
	Relayed Action = "relayed" // NOTIFY=SUCCESS and the upstream sends no notifications of its own
)

// Report is a notification of the sender of a message.
type Report struct {
	Action   Action
	Late     bool              // Failed: the upstream had taken the message, and its provider told so later
	ID       string            // queue id of the message
	Hostname string            // of the gateway
	At       time.Time         // now
	Until    time.Time         // Delayed: when delivery will be given up
	Envelope envelope.Envelope // of the message
	Original *mime.Message
	Fates    []Fate // recipients that share this report, at least one
}

// Fate is what became of one recipient.
type Fate struct {
	Recipient envelope.Recipient
	Status    string    // RFC 3463: "5.1.1"
	Upstream  string    // name of the upstream, "" when none was asked
	RemoteMTA string    // host that said so, where another one did than the upstream; "": not known
	Text      string    // the provider's reply, or the gateway's own reason
	Code      int       // SMTP reply code or HTTP status, 0: none
	SMTP      bool      // Code is an SMTP reply code
	Last      time.Time // of the last attempt
}

// IsDue reports whether the sender wants to be notified of any of the fates.
func (r *Report) IsDue() bool { return len(r.due()) > 0 }

// due returns the fates of which the sender wants to be notified.
func (r *Report) due() []Fate {
	if r.Envelope.From == "" || r.automatic() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Fates), func(f Fate) bool { return !r.Action.wanted(f.Recipient.Notify) })
}

// automatic reports whether no program should answer the message (RFC 3834 2).
func (r *Report) automatic() bool {
	if r.Original == nil {
		return false
	}
	for _, v := range r.Original.Header.Values("Auto-Submitted") {
		if keyword, _, _ := strings.Cut(v, ";"); !strings.EqualFold(strings.TrimSpace(keyword), "no") {
			return true
		}
	}
	for _, v := range r.Original.Header.Values("Precedence") {
		switch strings.ToLower(v) {
		case "bulk", "junk", "list":
			return true
		}
	}
	return false
}

// wanted reports whether NOTIFY (RFC 3461 4.1) asks for an action: without it, failures and delays are reported.
func (a Action) wanted(notify []string) bool {
	if len(notify) == 0 {
		return a == Failed || a == Delayed
	}
	word := map[Action]string{Failed: "FAILURE", Delayed: "DELAY", Relayed: "SUCCESS"}[a]
	return slices.ContainsFunc(notify, func(n string) bool { return strings.EqualFold(n, word) })
}

const maxSubject = 200 // characters of the original subject that the notification repeats

func (r *Report) originalSubject() string {
	if r.Original == nil {
		return ""
	}
	return clip(printable(r.Original.Subject), maxSubject)
}
