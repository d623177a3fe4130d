package smtpd

import "net/netip"

// EventKind names what happened to a session.
type EventKind string

// The kinds of events.
const (
	Connected   EventKind = "connected"    // a client was greeted
	Refused     EventKind = "refused"      // a connection was turned away: Reply says why
	Foreign     EventKind = "foreign"      // another protocol was spoken (HTTP, TLS): closed
	AuthOK      EventKind = "auth-ok"      // User logged in
	AuthFailed  EventKind = "auth-failed"  // User tried to
	Rejected    EventKind = "rejected"     // Command got Reply, a 4xx or 5xx
	Lost        EventKind = "lost"         // the connection broke or stalled inside a message
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
	Err      error
}
