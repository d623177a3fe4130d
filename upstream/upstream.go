// Package upstream is the contract of those who take mail on: one package below it for each kind.
//
// An upstream translates a mail into one provider's terms and the provider's answer into an [Outcome].
// It never retries, sleeps, logs or counts: delivery does that, the same way for all kinds.
// CONTRIBUTING.md describes how to add a kind.
package upstream

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mailhatch/mime"
)

// Upstream hands one mail to one provider, once. Its methods may be called from many goroutines at once.
type Upstream interface {
	// Send offers m to every recipient in m.To and returns what became of each, in the same order.
	// It returns soon after ctx ends. It must not change m.
	Send(ctx context.Context, m *Mail) []Outcome
}

// Preflighter is implemented by upstreams that cannot carry every message.
type Preflighter interface {
	// Preflight reports without any network traffic whether m can be carried faithfully to at least one of
	// its recipients: nil, or an *Error of class Unrepresentable or Permanent, which holds for all of them.
	// What becomes of the others is for Send to return. An I/O error of the message's bytes is Temporary.
	Preflight(m *Mail) error
}

// Renderer is implemented by upstreams that can show what they would send.
type Renderer interface {
	// Render writes each request that Send would make for m, secrets redacted, or returns why there is none.
	Render(m *Mail, w io.Writer) error
}

// Checker is implemented by upstreams that can try their settings without sending mail.
type Checker interface {
	// Check reports whether host, TLS and credentials work.
	Check(ctx context.Context) error
}

// Idempotent is implemented by upstreams whose provider recognises a repeated offer by its key.
type Idempotent interface {
	// KeyValidity is how long after the first offer a repeated one is recognised.
	KeyValidity() time.Duration
}

// Expiring is implemented by upstreams whose credentials end at a time.
type Expiring interface {
	// Expiries returns when what the upstream logs in with ends.
	Expiries() []Expiry
}

// Expiry is the end of a credential.
type Expiry struct {
	Name    string    // "token", "certificate"
	Since   time.Time // when it began; zero: unknown
	At      time.Time // zero: there is none yet
	Renewed bool      // before its end, without anyone's doing
	Failure error     // why the last renewal failed; nil: it did not. Never holds a secret
}

// soon is how long before its end an operator must know of what nobody renews.
const soon = 14 * 24 * time.Hour

// EndsSoon reports whether an operator must see to it.
func (e Expiry) EndsSoon(now time.Time) bool {
	return !e.Renewed && !e.At.IsZero() && e.At.Sub(now) < soon
}

// Loginer is implemented by upstreams whose credentials may come from a person's consent.
type Loginer interface {
	// Login asks a person to consent by the device flow (RFC 8628): show is called once with what they need, then
	// Login waits until they have consented or refused, the code has ended, or ctx ends. Where the settings need no
	// login it returns at once why.
	Login(ctx context.Context, show func(LoginCode)) error
	// NeedsLogin reports that no mail goes there before somebody has logged in.
	NeedsLogin() bool
}

// LoginCode is what a person needs to log in (RFC 8628 3.2).
type LoginCode struct {
	URL    string    `json:"url"`  // to be opened in a browser, anywhere
	Code   string    `json:"code"` // to be typed there
	Expiry time.Time `json:"expiry,omitzero"`
}

// TokenSharer is implemented by upstreams that can share their access tokens with the same upstream of other gateways.
type TokenSharer interface {
	// HasTokens reports whether the upstream logs in by tokens at all.
	HasTokens() bool
	// ShareTokens makes the upstream keep its tokens in a vault. It is called once, before all else, where it has some.
	ShareTokens(v Vault)
}

// Vault keeps values that gateways share, under names. Its methods may be called from many goroutines at once.
type Vault interface {
	// Get returns a value and its version, which is higher after each change; 0: there is none.
	Get(ctx context.Context, name string) (value []byte, version int64, err error)
	// Set changes the value of that version, 0 for none, and returns the new version once it is on stable storage. Where
	// somebody else has changed it meanwhile it returns 0.
	Set(ctx context.Context, name string, value []byte, version int64) (now int64, err error)
	// Lock waits until nobody else works on a value. The lock of a gateway that has died ends by itself.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// Runner is implemented by upstreams that have work of their own while the gateway runs, whether mail flows or not,
// such as keeping a login alive.
type Runner interface {
	// Run works until ctx ends, and returns nil soon after. It is called once, and Send may be called before it, while it
	// runs and after it. An error means that it cannot go on.
	Run(ctx context.Context) error
}

// Upstreams that hold connections implement io.Closer too.

// Mail is one message on its way to some of its recipients.
type Mail struct {
	ID       string        // queue id, the same for each attempt
	Key      string        // stem of idempotency keys; "": the ID
	Digest   string        // Error.Digest of the offer that may have been taken: another request is not made; "": not known
	Again    bool          // an earlier offer to this upstream may have been taken
	From     string        // envelope sender, "" is the null sender
	To       []Recipient   // envelope recipients of this offer, at least one, unique
	Ret      string        // RFC 3461: "", "FULL", "HDRS"
	EnvID    string        // RFC 3461, not encoded
	EightBit bool          // the client declared BODY=8BITMIME; the bytes may differ
	UTF8     bool          // the client asked for SMTPUTF8
	Own      []string      // control fields that the operator's rules wrote: they are not stripped
	Message  *mime.Message // as stored, after the rewriting that this upstream asked for
}

// KeyStem returns what idempotency keys begin with.
func (m *Mail) KeyStem() string { return cmp.Or(m.Key, m.ID) }

// KeyOfRecipients is the part of an idempotency key that names the recipients of an offer, given as mime.AddressKey has
// them: the same ones, in whatever order, have the same.
func KeyOfRecipients(keys []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(keys)), "\x00")))
	return hex.EncodeToString(sum[:10])
}

// Recipient is a forward-path with its RFC 3461 parameters.
type Recipient struct {
	Address string   // local@domain without brackets
	Notify  []string // NEVER, SUCCESS, FAILURE, DELAY; empty: not given
	ORcpt   string   // "rfc822;ann@example.org", not encoded; "" not given
}

// Outcome is what became of one recipient: taken by the provider (Err nil), or not.
type Outcome struct {
	ID       string    // the provider's id of the message, "" when it gave none
	Err      error     // an *Error, or anything else, which counts as Temporary
	Date     time.Time // the provider's clock, as its answer showed it; zero where it did not
	Notifies bool      // the provider got NOTIFY and will act on it (RFC 3461 5.2.2)
	Note     string    // what the operator should know of a mail that was taken, "" for nothing

	// Pause is how long the upstream takes no further mail, because this one was the last that its
	// rate limit allowed; 0 where it said nothing of the kind.
	Pause time.Duration
}

// Class is what a failure means for the mail and for the upstream.
type Class int

// The classes of failures. The zero value is the safe one: what is not classified is tried again.
const (
	Temporary       Class = iota
	Throttled             // slow this upstream down: RetryAfter holds for all its mail
	Account               // key, domain, bill or settings are at fault: pause the upstream, alert, keep the mail
	Uncertain             // it may have been taken: same upstream, same bytes, same key, no failover
	Unrepresentable       // this upstream cannot carry this message faithfully: try the next in `via`
	Permanent             // the message or the recipient is refused: bounce
)

var classNames = [...]string{"temporary", "throttled", "account", "uncertain", "unrepresentable", "permanent"}

// Closes reports whether other mail waits for a failure of this class too.
func (c Class) Closes() bool { return c == Account || c == Throttled }

// String returns the name that logs, metrics and `queue show` use.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return fmt.Sprintf("class(%d)", int(c))
	}
	return classNames[c]
}

// Error is why a mail was not taken.
type Error struct {
	Class      Class
	Status     int           // HTTP status or SMTP reply code; 0 when the failure came before one
	Code       string        // the provider's name for it ("rate_limit_exceeded") or the RFC 3463 code ("5.1.1")
	RetryAfter time.Duration // not before; 0 if the provider named none
	Sender     bool          // Account only: it is about the From address of this mail, not the whole upstream
	Connect    bool          // Temporary only: the upstream could not be reached or spoken to at all
	Outage     bool          // Temporary only: the upstream itself has a fault, whatever the mail
	Digest     string        // Uncertain only: names the request that may have been taken, by its bytes; "" where the kind has no keys
	Changed    bool          // Uncertain only: an earlier request with the same key, which may have been taken, had other bytes
	Err        error         // in words; the provider's own where it gave some; never holds a secret
}

// Error returns the words, with status and code where the words lack them.
func (e *Error) Error() string {
	switch {
	case e.Status != 0 && e.Code != "":
		return fmt.Sprintf("%d %s: %v", e.Status, e.Code, e.Err)
	case e.Status != 0:
		return fmt.Sprintf("%d: %v", e.Status, e.Err)
	}
	return fmt.Sprint(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
