package api

import (
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
)

// Field is a header field in the form of JSON APIs: decoded, on one line.
type Field struct{ Name, Value string }

// mapped are fields that JSON APIs have a place of their own for, that they write themselves, or
// that tell of a way and a body which are no longer this message's.
var mapped = [...]string{
	"From", "To", "Cc", "Bcc", "Resent-Bcc", "Reply-To", "Subject", "Date", "Message-ID",
	"MIME-Version", "Content-*",
	"Received", "Return-Path", "Delivered-To", "Envelope-To", "Apparently-To",
	"Received-SPF", "Authentication-Results", "ARC-*", "DKIM-Signature", "DomainKey-Signature", "X-Google-DKIM-Signature",
}

// joiners lists how values of a repeated field go into one (RFC 5322 3.6.4, 3.6.5); all others that
// may be repeated are joined with ", ".
var joiners = map[string]string{"references": " ", "in-reply-to": " ", "comments": " "}

// single are fields of which only the first counts (RFC 5322 3.6, RFC 3834, RFC 8058 and others).
var single = []string{
	"sender", "auto-submitted", "precedence", "importance", "priority", "x-priority", "sensitivity",
	"list-id", "list-unsubscribe-post", "x-mailer", "user-agent", "thread-topic", "thread-index",
	"x-original-message-id", "x-original-date", "x-auto-response-suppress", "return-receipt-to",
}

// headersOf returns the fields that travel as headers of a JSON API, in order, each name once.
func headersOf(m *upstream.Mail, form Form) []Field {
	var list joinedHeaders
	msg := m.Message
	for _, f := range msg.Header {
		if !isFieldName(f.Name) || upstream.MatchesField(f.Name, mapped[:]) || m.IsStrange(f.Name) ||
			upstream.MatchesField(f.Name, form.Reserved) {
			continue
		}
		list.add(f.Name, mime.Header{f}.Text(f.Name))
	}
	if references := wire.References(msg.Header, msg.MessageID); references != "" && !form.KeepsID {
		list.set("References", references)
	}
	// What the provider writes anew stays readable.
	list.add("X-Original-Message-ID", msg.MessageID)
	list.add("X-Original-Date", msg.Header.Get("Date"))
	return list.joined()
}

// joinedHeaders collects fields, the values of each name together.
type joinedHeaders struct {
	names  []string
	values map[string][]string // by name in lower case
}

func (l *joinedHeaders) add(name, value string) {
	value = strings.TrimSpace(plainText(strings.Map(oneLine, value)))
	if value == "" {
		return
	}
	lower := strings.ToLower(name)
	old, seen := l.values[lower]
	switch {
	case !seen:
		if l.values == nil {
			l.values = map[string][]string{}
		}
		l.names = append(l.names, name)
	case slices.Contains(single, lower) || len(old) == 1 && old[0] == value:
		return
	}
	l.values[lower] = append(old, value)
}

// set replaces the values of a field.
func (l *joinedHeaders) set(name, value string) {
	delete(l.values, strings.ToLower(name))
	if i := slices.IndexFunc(l.names, func(s string) bool { return strings.EqualFold(s, name) }); i >= 0 {
		l.names = slices.Delete(l.names, i, i+1)
	}
	l.add(name, value)
}

func (l *joinedHeaders) joined() []Field {
	out := make([]Field, len(l.names))
	for i, name := range l.names {
		lower := strings.ToLower(name)
		sep, ok := joiners[lower]
		if !ok {
			sep = ", "
		}
		out[i] = Field{name, strings.Join(l.values[lower], sep)}
		if lower == "references" && len(out[i].Value) > wire.MaxReferences {
			out[i].Value = wire.ShortReferences(out[i].Value)
		}
	}
	return out
}

// isFieldName reports whether a name has the form of RFC 5322 2.2.
func isFieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })
}

// oneLine keeps what came decoded from adding lines or controls, for those too who split lines as Unicode has them.
func oneLine(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
		return ' '
	}
	return r
}
