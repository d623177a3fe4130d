// Package alert tells operators what needs them, by a webhook or a program, never by mail.
//
// A [Watcher] looks at the gateway every few seconds and hears the journal. What is wrong becomes an episode of each
// receiver that asked for it; a message tells all that began, ended or went on for long since the last one. What was
// told is kept in the state directory, so that a restart neither repeats an alert nor forgets a recovery. Each receiver
// has a goroutine of its own, and mail waits for none of them.
//
// Where gateways share a queue, each tells what is about its machine, and one of them, whichever lives, what is about the
// queue or an upstream: fleet.go.
package alert

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mailhatch/gateway/journal"
)

// The events that an alert can be on.
const (
	UpstreamClosed = "upstream_closed" // for longer than `after`
	QueueOld       = "queue_old"       // the oldest queued mail was accepted longer than `older` ago
	Failed         = "failed"          // more than `count` recipients in `window`
	Silent         = "silent"          // nothing was sent for as long as `for` says
	Disk           = "disk"            // new mail is refused for want of space
	Expiring       = "expiring"        // a certificate, secret or token ends soon, or could not be renewed
	Maildrop       = "maildrop"        // mail lies there for longer than `after`, or was set aside
	InternalError  = "internal_error"  // in the last `window`
	Database       = "database"        // what slows down the database of a shared queue
	Canary         = "canary"          // a mail of the gateway itself does not arrive through an upstream
	Told           = "event"           // a provider tells later what became of mail: all of it is handed on
)

// Events returns all of them.
func Events() []string {
	return []string{UpstreamClosed, QueueOld, Failed, Silent, Disk, Expiring, Maildrop, Database, Canary, InternalError, Told}
}

// Depth is mail that waits.
type Depth struct {
	Count  int
	Oldest time.Time // when the oldest came; zero: there is none
}

// Drops is what a maildrop holds.
type Drops struct {
	Depth
	Refused int // messages that could not be taken in and were set aside
}

// Upstream is how one upstream is.
type Upstream struct {
	Name   string
	Closed bool      // by a fault: no mail is offered, or just one to try
	Paused bool      // by an operator: whether it works is not known
	Reason string    // of the closing
	Since  time.Time // of the closing
	Error  string    // the last one; it never holds a secret

	Refuses string // it is closed for some senders alone: for which, without their addresses; "": for all
}

// Ending is something with an end that somebody must see to.
type Ending struct {
	Owner  string // "upstream main", "listener 127.0.0.1:25"
	What   string // "certificate", "token"
	At     time.Time
	Reason string // why it was not renewed; "": its end is near
}

// Stopped is an upstream through which canaries do not arrive.
type Stopped struct {
	Upstream string
	Text     string // how far they come, in words
	Error    string // why no further: words of a provider perhaps
	Since    time.Time
}

// Config is what the gateway lends to a Watcher. All functions are called by one goroutine, and only for events that
// an alert is on.
type Config struct {
	Upstreams func() []Upstream
	Queue     func(ctx context.Context) (Depth, error)    // what is queued
	Full      func(ctx context.Context) error             // why new mail is refused for want of space; nil: it is not
	Database  func(ctx context.Context) ([]string, error) // what slows down that of a shared queue
	Away      func() string                               // what it means for mail that it is out of reach; "": it is not. May be nil
	Endings   func() []Ending
	Maildrop  func() (Drops, error)
	Canaries  func() (list []Stopped, known bool)
	Healthy   func() bool // heartbeats are sent
	Now       func() time.Time
	Journal   *journal.Journal
	Fleet     *Fleet // nil: no other gateway shares the queue
	Outbox    Outbox // what providers told and waits for receivers; nil: nothing
	Dir       string // the state directory
	Version   string
}

// Status is whether what an alert is about goes on.
type Status string

// The states of an alert.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Alert is one thing that is wrong, or was.
type Alert struct {
	Event    string    `json:"event"`
	Status   Status    `json:"status"`
	Subject  string    `json:"subject,omitempty"` // the upstream, "listener ADDRESS certificate"; "": the gateway
	Text     string    `json:"text"`              // for people; it names no address of mail
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`     // of what is resolved
	Repeated bool      `json:"repeated,omitempty"` // it was told before and goes on
}

// key is the same for the same trouble.
func (a *Alert) key() string { return a.Event + " " + a.Subject }

// The types of messages.
const (
	TypeAlert     = "alert"
	TypeTest      = "test"
	TypeHeartbeat = "heartbeat"
	TypeEvent     = "event"
)

// Message is the body of a webhook and the standard input of a program, in JSON.
type Message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Text      string    `json:"text"` // all of it for people, a line for each alert
	Data      Data      `json:"data"`
}

// Data is what a Message is about.
type Data struct {
	Hostname string  `json:"hostname"`
	Gateway  string  `json:"gateway,omitempty"` // that tells it, of those that share a queue
	Version  string  `json:"version,omitempty"`
	Status   Status  `json:"status,omitempty"` // firing when one of the alerts is
	Alerts   []Alert `json:"alerts"`
}

// origin is who tells.
type origin struct {
	hostname, gateway, version string
	s                          scope // of the alerts
}

// origin returns this gateway. w.mu is held.
func (w *Watcher) origin(s scope) origin {
	o := origin{hostname: w.hostname, version: w.cfg.Version, s: s}
	if w.cfg.Fleet != nil {
		o.gateway = w.cfg.Fleet.Name
	}
	return o
}

// String names it for people: the gateway where there are several, unless it speaks for all of them.
func (o origin) String() string {
	if o.gateway == "" || o.s == ofFleet {
		return "mailhatch on " + o.hostname
	}
	return "mailhatch on " + o.hostname + " (" + o.gateway + ")"
}

// newMessage composes a message.
func newMessage(kind string, from origin, now time.Time, alerts []Alert) *Message {
	m := &Message{Type: kind, Timestamp: now.UTC().Truncate(time.Second), Data: Data{Hostname: from.hostname, Gateway: from.gateway, Version: from.version, Alerts: alerts}}
	lines := make([]string, 0, len(alerts))
	for i := range alerts {
		a := &alerts[i]
		if a.Status == Firing || m.Data.Status == "" {
			m.Data.Status = a.Status
		}
		line := a.Text
		switch {
		case a.Status == Resolved:
			line = fmt.Sprintf("resolved after %s: %s", span(a.Until.Sub(a.Since)), line)
		case a.Repeated:
			line = "still: " + line
		}
		lines = append(lines, fmt.Sprintf("%s: %s", from, line))
	}
	switch kind {
	case TypeTest:
		m.Text = fmt.Sprintf("%s: this is a test", from)
	case TypeHeartbeat:
		m.Text = fmt.Sprintf("%s is well", from)
	default:
		m.Text = strings.Join(lines, "\n")
	}
	return m
}
