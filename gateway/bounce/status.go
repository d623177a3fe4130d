package bounce

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// deliveryStatus returns the fields for programs (RFC 3464 2.1): those of the message, then a block for
// each recipient.
func (r *Report) deliveryStatus(fates []Fate, utf8 bool) []byte {
	h := fields{utf8: utf8}
	if id := printable(r.Envelope.EnvID); id != "" {
		h.add("Original-Envelope-Id", id)
	}
	h.add("Reporting-MTA", "dns; "+r.Hostname)
	if !r.Envelope.Received.IsZero() {
		h.add("Arrival-Date", r.Envelope.Received.Format(time.RFC1123Z))
	}
	h.add("X-Mailhatch-Queue-Id", r.ID)
	out := h.raw
	for _, f := range fates {
		out = append(out, "\r\n"...)
		out = append(out, r.recipientStatus(f, utf8)...)
	}
	return out
}

func (r *Report) recipientStatus(f Fate, utf8 bool) []byte {
	h := fields{utf8: utf8}
	if kind, address, ok := strings.Cut(f.Recipient.ORcpt, ";"); ok {
		h.add("Original-Recipient", addressField(strings.TrimSpace(kind), strings.TrimSpace(address), utf8))
	}
	h.add("Final-Recipient", addressField("rfc822", f.Recipient.Address, utf8))
	h.add("Action", string(r.Action))
	h.add("Status", r.status(f))
	switch host := printable(f.RemoteMTA); {
	case host != "":
		h.add("Remote-MTA", "dns; "+host)
		h.add("X-Mailhatch-Upstream", printable(f.Upstream))
	case f.Upstream != "":
		h.add("Remote-MTA", "x-mailhatch-upstream; "+printable(f.Upstream))
	}
	if d := f.diagnostic(); d != "" {
		h.add("Diagnostic-Code", d)
	}
	if !f.Last.IsZero() {
		h.add("Last-Attempt-Date", f.Last.Format(time.RFC1123Z))
	}
	if r.Action == Delayed && !r.Until.IsZero() {
		h.add("Will-Retry-Until", r.Until.Format(time.RFC1123Z))
	}
	return h.raw
}

// addressField writes a typed address. Non-ASCII ones have a type of their own (RFC 6533 3), which in
// a 7-bit field names characters by their numbers.
func addressField(kind, address string, utf8 bool) string {
	address = printable(address)
	if mime.IsASCII(address) && !strings.EqualFold(kind, "utf-8") {
		return kind + "; " + address
	}
	if utf8 {
		return "utf-8; " + address
	}
	var out strings.Builder
	for _, c := range address {
		if c <= ' ' || c >= 0x7f || c == '\\' || c == '+' || c == '=' {
			fmt.Fprintf(&out, `\x{%02X}`, c)
			continue
		}
		out.WriteRune(c)
	}
	return "utf-8; " + out.String()
}

const maxDiagnostic = 800 // characters; a line without a space must stay under 998 bytes (RFC 5322 2.1.1)

// diagnostic returns the provider's reply (RFC 3464 2.3.6).
func (f Fate) diagnostic() string {
	words := printable(f.Text)
	if words == "" && f.Code == 0 {
		return ""
	}
	if f.Code != 0 && !strings.HasPrefix(words, strconv.Itoa(f.Code)) {
		words = strings.TrimSpace(strconv.Itoa(f.Code) + " " + words)
	}
	words = clip(words, maxDiagnostic)
	switch {
	case f.SMTP && f.Status != "": // "550 5.1.1: no such user" as the relay wrote it
		return "smtp; " + strings.Replace(words, f.Status+": ", f.Status+" ", 1)
	case f.SMTP:
		return "smtp; " + words
	case f.Code != 0:
		return "x-mailhatch-http; " + words
	}
	return "x-mailhatch; " + words
}

// status returns the RFC 3463 code: the provider's where it fits the action, else one that claims no more
// than is known.
func (r *Report) status(f Fate) string {
	class := map[Action]byte{Failed: '5', Delayed: '4', Relayed: '2'}[r.Action]
	if isStatus(f.Status) && (f.Status[0] == class || r.Action == Failed && f.Status[0] == '4') {
		return f.Status // failed with 4.x.x: given up after temporary failures (RFC 3464 2.3.4)
	}
	if isStatus(f.Status) {
		return string(class) + f.Status[1:]
	}
	if r.Action == Failed && r.expired() && !(f.SMTP && f.Code >= 500) { // an HTTP 5xx is not about the mail
		return "4.4.7" // delivery time expired
	}
	if r.Action == Failed && f.Code == 413 {
		return "5.3.4" // message too big
	}
	return string(class) + ".0.0"
}

// expired reports whether the message was given up for its age.
func (r *Report) expired() bool { return !r.Until.IsZero() && !r.At.Before(r.Until) }

// isStatus reports whether s is an RFC 3463 code.
func isStatus(s string) bool {
	code, ok := envelope.ParseStatus(s)
	return ok && (code[0] == 2 || code[0] == 4 || code[0] == 5)
}
