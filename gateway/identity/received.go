package identity

import (
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// MaxHops is how many Received fields a message may have before it is taken for a loop. RFC 5321 6.3
// asks for at least 100 between strangers; behind a local gateway a message that passed 50 hosts runs in circles.
const MaxHops = 50

// Hops counts the hosts a message has passed (RFC 5321 6.3).
func Hops(h mime.Header) int {
	n := 0
	for _, f := range h {
		if strings.EqualFold(f.Name, "Received") {
			n++
		}
	}
	return n
}

// Received returns the trace field (RFC 5321 4.4) for a message that is accepted under this queue id.
// The recipient is named only when there is one: with several, each would learn of the Bcc recipients.
func Received(env *envelope.Envelope, hostname, queueID string, now time.Time) mime.Edit {
	var b strings.Builder
	b.Grow(256)
	write := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
	}
	c := &env.Client
	if c.Helo != "" || c.Addr.IsValid() {
		write("from ", traceToken(c.Helo))
		if c.Addr.IsValid() {
			literal, tag := c.Addr.Unmap().WithZone(""), ""
			if literal.Is6() {
				tag = "IPv6:" // RFC 5321 4.1.3
			}
			write(" ([", tag, literal.String(), "])")
		}
		b.WriteByte(' ')
	}
	write("by ", hostname, " (mailhatch)")
	if c.Protocol != "" {
		write(" with ", traceToken(c.Protocol))
	}
	write(" id ", traceToken(queueID))
	if len(env.To) == 1 {
		addr := env.To[0].Given
		if addr == "" {
			addr = env.To[0].Address
		}
		if printable(addr) {
			write(" for <", addr, ">")
		}
	}
	write("; ", now.Format(time.RFC1123Z))
	return mime.Edit{Op: mime.Prepend, Name: "Received", Value: b.String(), UTF8: true}
}

// HideReceived returns the edits that take away all trace fields but one, which tells nothing of the way before
// this gateway: for those who must not show what is inside. Loops that lead through the outside are not found then.
func HideReceived(env *envelope.Envelope, hostname, queueID string) []mime.Edit {
	bare := envelope.Envelope{Client: envelope.Client{Protocol: env.Client.Protocol}}
	return []mime.Edit{{Op: mime.Remove, Name: "Received"}, Received(&bare, hostname, queueID, env.Received)}
}

// traceToken makes what a client sent safe for a trace field: nothing in it can end the token.
func traceToken(s string) string {
	const most = 255
	if len(s) > most {
		s = s[:most]
	}
	safe := strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`()<>;,"\`, r) {
			return r
		}
		return '?'
	}, s)
	if safe == "" {
		return "unknown"
	}
	return safe
}

// printable reports whether an address can stand in a trace field as it is. UTF-8 may (RFC 6532).
func printable(addr string) bool {
	return !strings.ContainsFunc(addr, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '<' || r == '>' || r == '\ufffd'
	})
}
