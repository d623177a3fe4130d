// Package smtpd speaks SMTP to local clients (RFC 5321).
//
// It knows the protocol and its dangers, and nothing of queues, routes or config files: what to do
// with mail it asks of a [Handler].
//
// A command passes through: socket, front (reads one line, refuses or rewrites it), go-smtp (parses
// parameters, keeps the order of replies), session (builds the envelope, asks the handler), and
// back through the front, which sends the replies of a pipelined group in one write. The text of
// DATA goes from the front straight to the handler. One goroutine serves a connection.
package smtpd

import (
	"context"
	"io"
	"net/netip"

	"mailhatch/gateway/envelope"
)

// Handler decides about mail. Methods may be called at once from many sessions; their errors are
// *envelope.Reply, anything else is logged and becomes 451 4.3.0 without its text.
type Handler interface {
	// Sender is asked at MAIL; env has no recipients yet. It may change env.From (qualification).
	Sender(ctx context.Context, env *envelope.Envelope) error
	// Recipient is asked at RCPT. It may change rcpt before it joins the envelope.
	Recipient(ctx context.Context, env *envelope.Envelope, rcpt *envelope.Recipient) error
	// Accept takes responsibility for a message, or returns why not. body is header and body with
	// CRLF line ends, dots removed; its read errors must be returned as they are. The id is sent to
	// the client; an empty text means "OK: queued as ID". A nil error is for a body that was read up to
	// io.EOF; body must not be read after Accept has returned.
	Accept(ctx context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error)
}

// EventKind names what happened to a session.
type EventKind string

// The kinds of events.
const (
	Connected   EventKind = "connected"    // a client was greeted
	Refused     EventKind = "refused"      // a connection was refused: Reply says why
	Foreign     EventKind = "foreign"      // another protocol was spoken (HTTP, TLS): closed
	AuthOK      EventKind = "auth-ok"      // User logged in
	AuthFailed  EventKind = "auth-failed"  // User tried to
	Rejected    EventKind = "rejected"     // Command got Reply, a 4xx or 5xx
	Lost        EventKind = "lost"         // the connection broke or stalled inside a message, or gave way to another
	TLSFailed   EventKind = "tls-failed"   // the handshake failed: Err says why
	ProxyFailed EventKind = "proxy-failed" // a PROXY header was missing or wrong
	Panicked    EventKind = "panicked"     // a fault of the program cost this session
	Closed      EventKind = "closed"       // the end of what began with Connected
)

// Event is something an operator may want to know of a session. Text from the client is cut short
// and may hold anything printable; passwords never get here.
type Event struct {
	Kind     EventKind
	Listener string // Config.Name
	Addr     netip.Addr
	User     string
	Helo     string
	From     string   // envelope sender of the mail that was refused or lost
	To       []string // its recipients; of RCPT the refused one
	Command  string   // the verb; "?" when it is none
	Reply    string   // first line of what was answered
	Err      error    // of Rejected what the handler returned, if it was asked
}
