package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"mailhatch/gateway/admin/trial"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Status is how the gateway is.
type Status struct {
	Running   bool                           `json:"running"` // false: read from the state directory of a stopped one
	Version   string                         `json:"version,omitempty"`
	Hostname  string                         `json:"hostname,omitempty"`
	Started   time.Time                      `json:"started,omitzero"`
	NotReady  []string                       `json:"not_ready,omitempty"`
	Upstreams []Upstream                     `json:"upstreams"`
	Queue     map[envelope.State]QueueStatus `json:"queue"`
	Store     StoreStatus                    `json:"store"`

	Maildrop *MaildropStatus `json:"maildrop,omitempty"` // nil: there is none on this system

	Gateway  string          `json:"gateway,omitempty"`  // the name of this one among those that share the queue; "": it shares it with none
	Gateways []queue.Gateway `json:"gateways,omitempty"` // all that share it
}

// StoreStatus is how the store of the queue is.
type StoreStatus struct {
	Unclean  bool     `json:"unclean,omitempty"`   // the process before did not close it
	LogBytes int64    `json:"log_bytes,omitempty"` // of its write-ahead log
	Aside    int      `json:"aside,omitempty"`     // bodies without a message that were set aside
	AsideDir string   `json:"aside_dir,omitempty"` // where
	Notes    []string `json:"notes,omitempty"`     // what an operator should look after
}

// QueueStatus counts what waits in one state.
type QueueStatus struct {
	Parts  int       `json:"parts"` // groups of recipients that wait together
	Bytes  int64     `json:"bytes"`
	Oldest time.Time `json:"oldest,omitzero"` // when the oldest was accepted
}

// Upstream is how one upstream is.
type Upstream struct {
	Name          string    `json:"name"`
	Kind          string    `json:"kind,omitempty"`  // resend, smtp…
	State         string    `json:"state,omitempty"` // open | probing | closed; "" if unknown
	Reason        string    `json:"reason,omitempty"`
	Since         time.Time `json:"since,omitzero"` // of the state
	LastError     string    `json:"last_error,omitempty"`
	Why           string    `json:"why,omitempty"`       // it is not open, or refuses senders, as Part.Why has it
	Refuses       []Refused `json:"refuses,omitempty"`   // senders whose mail it does not take, the oldest first
	FailedAt      time.Time `json:"failed_at,omitzero"`  // the last failure that was about the upstream
	PausedBy      string    `json:"paused_by,omitempty"` // the operator who has paused it
	NextProbe     time.Time `json:"next_probe,omitzero"`
	InFlight      int       `json:"in_flight"`
	MaxConcurrent int       `json:"max_concurrent,omitempty"`
	Rate          float64   `json:"rate,omitempty"` // offers a second, 0: no limit
	Quota         []Quota   `json:"quota,omitempty"`
	Queued        int       `json:"queued"`           // parts that wait for it
	NextAt        time.Time `json:"next_at,omitzero"` // when the next of them is due
	Expiries      []Expiry  `json:"expiries,omitempty"`
	Events        *Hearing  `json:"events,omitempty"` // nil: nothing is told later
	Canary        *Stopped  `json:"canary,omitempty"` // nil: canaries through it arrive, or none are sent
}

// RateText is the rate as a config has it, such as "2/m"; "" where there is no limit.
func (u *Upstream) RateText() string {
	if u.Rate == 0 {
		return ""
	}
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}} {
		if n := u.Rate * unit.seconds; n >= 1 && math.Abs(10*n-math.Round(10*n)) < 1e-6*n {
			return strconv.FormatFloat(math.Round(10*n)/10, 'f', -1, 64) + "/" + unit.name
		}
	}
	return strconv.FormatFloat(u.Rate, 'g', 4, 64) + "/s"
}

// Stopped is what is wrong with the mail that the gateway sends to see whether an upstream delivers.
type Stopped struct {
	Since time.Time `json:"since"` // when the first one was sent that has not arrived
	ID    string    `json:"id,omitempty"`
	Why   string    `json:"why"`
}

// Refused is a From for which the account at an upstream may not send.
type Refused struct {
	From  string    `json:"from"`  // an address, or *@example.com for all of a domain
	Error string    `json:"error"` // in the provider's words
	Since time.Time `json:"since"`
	Tried time.Time `json:"tried_at"`    // when it was refused last
	Next  time.Time `json:"next_try_at"` // then one mail tries it again
}

// Hearing is how what a provider tells later comes in.
type Hearing struct {
	Mode   string    `json:"mode"` // poll, webhook, or "poll, webhook"
	Every  float64   `json:"every_seconds,omitempty"`
	Heard  time.Time `json:"heard_at,omitzero"`  // when something was told last, since the start
	Polled time.Time `json:"polled_at,omitzero"` // when the provider answered a question last, since the start
	Next   time.Time `json:"next_at,omitzero"`   // when it is asked again
	Idle   bool      `json:"idle,omitempty"`     // there is no mail to ask for
	Error  string    `json:"error,omitempty"`    // why nothing can be learned
	Since  time.Time `json:"since,omitzero"`     // of the error
	Scope  string    `json:"scope,omitempty"`    // right that the key lacks
	Count  int       `json:"count"`              // events of our mail since the start
}

// Expiry is the end of something that an upstream logs in with.
type Expiry struct {
	Name    string    `json:"name"`            // token, certificate
	Since   time.Time `json:"since,omitzero"`  // when it began; zero: unknown
	At      time.Time `json:"at,omitzero"`     // zero: there is none yet
	Renewed bool      `json:"renewed"`         // before its end, without anyone's doing
	Error   string    `json:"error,omitempty"` // why the last renewal failed
}

// Quota is what is left of one quota of an upstream.
type Quota struct {
	Limit string    `json:"limit"` // as the config spells it: 300/d
	Left  int       `json:"left"`  // recipients
	Until time.Time `json:"until"` // then there are as many as Limit says
}

// Message is a message in the queue.
type Message struct {
	ID       string            `json:"id"`
	Size     int64             `json:"size"` // bytes
	Header   queue.Summary     `json:"header"`
	Envelope envelope.Envelope `json:"envelope"`
	Parts    []Part            `json:"parts"`
}

// Part is recipients of a message that wait together.
type Part struct {
	State    envelope.State       `json:"state"`
	Upstream string               `json:"upstream"` // it waits for
	NextAt   time.Time            `json:"next_at,omitzero"`
	To       []envelope.Recipient `json:"to"`
	Progress envelope.Progress    `json:"progress"`

	Why     string       `json:"why,omitempty"` // it waits, in one line; "" where that was not asked
	WhyCode waiting.Code `json:"why_code,omitempty"`
	Expect  time.Time    `json:"expected_at,omitzero"` // when something will happen to it; zero: nothing by itself, or nobody knows
}

// Filter chooses messages of the queue, and parts of them: those that all of its fields agree to. The zero value
// chooses all. From, To and Subject are compared without regard to case; they may hold * for any text and ? for one
// character, and a word without these that is not a whole address matches within the text.
type Filter struct {
	IDs               []string
	State             envelope.State
	Upstream          string // that parts wait for
	From, To, Subject string
	Older             string // accepted before that time, as [search.Since] reads it
	After             string // ids greater than this one: the next page
	Limit             int    // 0: as many as a page holds
}

// Page is part of the queue, oldest first.
type Page struct {
	Messages []Message `json:"messages"`
	Next     string    `json:"next,omitempty"` // Filter.After of the next page; "" after the last

	Maildrop []Message `json:"maildrop,omitempty"` // not taken in yet; on the first page
}

// LogFilter chooses what became of recipients: all of its fields must agree; the zero value chooses the newest. Texts are
// compared without regard to case. From and To are as in a [Filter].
type LogFilter struct {
	ID, From, To string
	Word         string // stands within the sender or the recipient
	Subject      string // words, each of which stands in the subject
	State        envelope.State
	Upstream     string
	MessageID    string // with or without brackets
	ProviderID   string
	Since, Until time.Time
	After        string // Log.Next of the page before
	Limit        int    // 0: as many as a page holds
}

// Log is what became of recipients, newest first.
type Log struct {
	Entries   []Entry `json:"entries"`
	Truncated bool    `json:"truncated,omitempty"` // there is more
	Next      string  `json:"next,omitempty"`      // LogFilter.After of the next page

	Events []Step `json:"events,omitempty"` // of a filter by ID: what happened to the message beside its end, oldest first
}

// Event is something that happened, without addresses of mail but those in a provider's words.
type Event struct {
	At         time.Time `json:"at"`
	Name       string    `json:"name"` // as the log has it: deferred, upstream_closed…
	ID         string    `json:"id,omitempty"`
	Upstream   string    `json:"upstream,omitempty"`
	Class      string    `json:"class,omitempty"` // of a failure; why an upstream was closed; where an internal error was
	Error      string    `json:"error,omitempty"`
	Recipients int       `json:"recipients,omitempty"`
	Action     string    `json:"action,omitempty"` // of an operator, where it was one's doing
	By         string    `json:"by,omitempty"`     // the operator
}

// Recent are the last events, the newest last.
type Recent struct {
	Events []Event `json:"events"`
}

// Step is something that happened to a message on its way.
type Step queue.Event

// Entry is what became of one recipient of a message, or what it waits for.
type Entry struct {
	ID         string         `json:"id"`
	At         time.Time      `json:"at"` // of the last thing that happened
	State      envelope.State `json:"state"`
	From       string         `json:"from"`
	To         string         `json:"to"`
	Given      string         `json:"given,omitempty"` // To before aliases and rewriting
	Upstream   string         `json:"upstream,omitempty"`
	ProviderID string         `json:"provider_id,omitempty"`
	Attempts   int            `json:"attempts"`
	Error      string         `json:"error,omitempty"`
	NextAt     time.Time      `json:"next_at,omitzero"`
	Header     queue.Summary  `json:"header"`
	Size       int64          `json:"size"` // bytes
	Received   time.Time      `json:"received,omitzero"`
	Gateway    string         `json:"gateway,omitempty"` // that saw this happen, where several share the queue

	Why     string       `json:"why,omitempty"` // it waits, as Part has it
	WhyCode waiting.Code `json:"why_code,omitempty"`
	Expect  time.Time    `json:"expected_at,omitzero"`
}

// Action is what an operator can do to messages of the queue.
type Action string

// The actions.
const (
	Retry   Action = "retry"   // queued and failed mail is due now, as if it were new
	Hold    Action = "hold"    // it waits until it is released
	Release Action = "release" // held mail goes on
	Delete  Action = "delete"  // it is discarded
	Move    Action = "move"    // it waits for another upstream, whatever routes say, or goes back to the routes
)

// Selection chooses the parts of an action: those of the named messages, or of all, that the other fields agree to;
// these mean what they mean in a [Filter].
type Selection struct {
	IDs      []string       `json:"ids,omitempty"`
	All      bool           `json:"all,omitempty"`
	State    envelope.State `json:"state,omitempty"`
	Upstream string         `json:"upstream,omitempty"`
	From     string         `json:"from,omitempty"`
	To       string         `json:"to,omitempty"`
	Subject  string         `json:"subject,omitempty"`
	Older    string         `json:"older,omitempty"`
	Target   string         `json:"target,omitempty"`  // upstream of Move
	Back     bool           `json:"back,omitempty"`    // Move goes back to the routes
	DryRun   bool           `json:"dry_run,omitempty"` // nothing is changed: the answer says what would be
}

// UnmarshalJSON implements json.Unmarshaler. A condition that is there and empty is a mistake, such as of a program whose
// variable was not set: to take it for none would choose everything.
func (s *Selection) UnmarshalJSON(text []byte) error {
	type fields Selection
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode((*fields)(s)); err != nil {
		return err
	}
	var given map[string]any
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] == "" {
			return fmt.Errorf("%s is empty: leave it out, or say what it should be", name)
		}
	}
	return nil
}

// Changed is what an action did, or would do.
type Changed struct {
	Changed    int      `json:"changed"`           // messages that had a part of the selection
	Recipients int      `json:"recipients"`        // of these parts
	Missing    []string `json:"missing,omitempty"` // ids that are not in the queue

	// Of a dry run alone.
	At       time.Time `json:"at,omitzero"` // when it looked
	Examples []Message `json:"examples,omitempty"`
	More     bool      `json:"more,omitempty"` // it has stopped counting; also of a flush

	Groups []Group `json:"groups,omitempty"` // of a dry run and of Move, the largest first

	Tried []trial.Fate `json:"tried,omitempty"` // of Retry that waits: what became of the first 1000 messages

	Busy int `json:"busy,omitempty"` // recipients that stay as they are because they are being offered right now
	// Offered are those of Recipients that are being offered right now: what was done counts if they are not taken.
	Offered int `json:"offered,omitempty"`

	// Of Move alone.
	Refused []Refusal `json:"refused,omitempty"` // what stays, and why; not more than 1000
	Stay    int       `json:"stay,omitempty"`    // recipients that stay for such reasons
}

// Refusal is recipients that stay where they are.
type Refusal struct {
	ID  string   `json:"id"`
	To  []string `json:"to"`
	Why string   `json:"why"`
}

// Group counts recipients that wait for one upstream in one state.
type Group struct {
	Upstream   string         `json:"upstream,omitempty"`
	State      envelope.State `json:"state"`
	Messages   int            `json:"messages"`
	Recipients int            `json:"recipients"`
}

// Reloaded is what came of a reload.
type Reloaded struct {
	Notes []string `json:"notes,omitempty"` // what of the config waits for a restart
}
