package deliver

import (
	"context"
	"time"

	"mailhatch/gateway/clock"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/notices"
	"mailhatch/gateway/deliver/schedule"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/quota"
	"mailhatch/gateway/route"
	"mailhatch/gateway/suppression"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Upstream is one upstream with the settings that are the same for every kind.
type Upstream struct {
	Name          string
	Upstream      upstream.Upstream
	SMTP          bool           // its statuses are SMTP reply codes
	MaxConcurrent int            // offers at once, at least 1
	Together      int            // offers at once of all gateways on the queue; 0: no limit
	Rate          float64        // offers a second; 0: no limit
	MaxRecipients int            // of one offer; 0: no limit
	RatePerDomain float64        // offers a second to the recipients of one domain; 0: no limit
	Quota         []quota.Limit  // of recipients in windows of the calendar; nil: none
	QuotaZone     *time.Location // of that calendar; nil: UTC
	ThrottleOn    []string       // patterns of refusals that count as upstream.Throttled
	Failover      bool           // some route names another upstream beside it
	Departure     Departure      // nil: mail goes as it is
}

// Departure returns the envelope sender and the header edits with which a message of this id goes to an upstream.
type Departure func(id string, env *envelope.Envelope, msg *mime.Message) (from string, edits []mime.Edit)

// Aliases follows aliases, as acceptance does; ended are recipients that they lead to no address.
type Aliases func(to []envelope.Recipient) (reached []envelope.Recipient, ended []identity.Ending)

// ToldOf returns what an upstream has told of the recipients of a message that have no record yet.
type ToldOf func(ctx context.Context, upstream, id string) ([]queue.Told, error)

// Config is what delivery follows. It is not changed after it was handed over.
type Config struct {
	Upstreams  []Upstream
	Route      func(m *queue.Message, msg *mime.Message) func(to string) route.Decision // for each recipient of a message
	Aliases    Aliases                                                                  // nil: there are none
	Policy     Policy
	Clock      *clock.Clock       // that of the queue; nil: the wall clock
	Suppressed suppression.Lookup // who gets no mail; nil: everybody does
	ToldOf     ToldOf             // what upstreams have told of mail that has no record yet; nil: nothing
	Pauses     gate.Board         // what operators have paused; nil: nothing. The one of the first config counts
	Fleet      Fleet              // the other gateways on the queue; nil: there are none. The one of the first config counts
}

// Fleet is the gateways that deliver from one queue.
type Fleet interface {
	gate.Peers
	// Name returns that of this gateway.
	Name() string
	// Limits are those of an upstream for all of them together.
	Limits(u *Upstream) gate.Limits
	// Notices counts what senders get from all of them; what names the kind of notification.
	Notices(what string, limit int, window time.Duration) notices.Notices
}

// Policy is the [queue] table of the config.
type Policy struct {
	Retry         schedule.Schedule
	MaxAge        time.Duration   // since the message was accepted
	FailoverAfter int             // temporary failures at one upstream before the next is tried
	OnFailure     string          // bounce | keep | discard, where the route has none
	OnUncertain   string          // retry | hold | failover
	WarnAfter     []time.Duration // senders are notified of delays of so much, in ascending order
	Hostname      string          // in bounces
	Drain         time.Duration   // how long running attempts may go on after a stop
}
