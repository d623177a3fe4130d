// Package smtpd speaks SMTP to local clients (RFC 5321).
//
// It knows the protocol and its dangers, and nothing of queues, routes or config files: what to do
// with mail it asks of a [Handler].
//
// The way of a command: socket, front (reads one line, refuses or rewrites it), go-smtp (parses
// parameters, keeps the order of replies), session (builds the envelope, asks the handler), and
// back through the front, which sends the replies of a pipelined group in one write. The text of
// DATA goes from the front straight to the handler. One goroutine serves a connection.
package smtpd

import (
	"context"
	"io"

	"mailhatch/gateway/envelope"
)

// Handler decides about mail. Methods may be called at once from many sessions; their errors are
// *envelope.Reply, anything else is told to the client as 451 4.3.0 without its words and logged.
type Handler interface {
	// Sender is asked at MAIL; env has no recipients yet. It may change env.From (qualification).
	Sender(ctx context.Context, env *envelope.Envelope) error
	// Recipient is asked at RCPT. It may change rcpt before it joins the envelope.
	Recipient(ctx context.Context, env *envelope.Envelope, rcpt *envelope.Recipient) error
	// Accept takes responsibility for a message, or says why not. body gives header and body with
	// CRLF line ends, dots removed; its read errors must be returned as they are. The id is told to
	// the client; an empty text means "OK: queued as ID". A nil error is for a body that was read up to
	// io.EOF; body must not be read after Accept has returned.
	Accept(ctx context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error)
}
