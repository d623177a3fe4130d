package identity

import (
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Complete returns the edits that make a header fit to travel: Date, Message-ID and From where they are
// missing (RFC 6409 8), bare names completed in address fields, Bcc and Resent-Bcc removed.
// id is the queue id; it becomes the left side of a Message-ID.
func (id *Identity) Complete(h mime.Header, env *envelope.Envelope, queueID string, now time.Time) []mime.Edit {
	var edits []mime.Edit
	for _, name := range []string{"Bcc", "Resent-Bcc"} {
		if h.Has(name) {
			edits = append(edits, mime.Edit{Op: mime.Remove, Name: name})
		}
	}
	add := func(name, value string) {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: name, Value: value, UTF8: env.UTF8})
	}
	if h.Get("Date") == "" {
		add("Date", now.Format(time.RFC1123Z))
	}
	if h.Get("From") == "" {
		add("From", id.from(env))
	}
	if h.Get("Message-ID") == "" {
		add("Message-ID", "<"+queueID+"@"+id.Hostname+">")
	}
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc"} { // each of them, against RFC 5322 3.6, may be there twice
		if slices.ContainsFunc(h.Values(name), func(list string) bool { return id.qualifyList(list) != list }) {
			edits = append(edits, mime.Edit{Op: mime.Revise, Name: name, Revise: id.qualifyList, UTF8: true})
		}
	}
	return edits
}

// from returns the From of a message that has none.
func (id *Identity) from(env *envelope.Envelope) string {
	switch {
	case id.DefaultFrom.Addr != "":
		return id.DefaultFrom.String()
	case env.From != "":
		return mime.Address{Addr: id.Qualify(env.From)}.String()
	}
	return mime.Address{Addr: "postmaster@" + id.Domain}.String()
}

// qualifyList completes each bare name of an address list and leaves every other byte as it is: names,
// comments, groups and what is not an address.
func (id *Identity) qualifyList(list string) string {
	var out strings.Builder
	done := 0 // bytes of list that are in out
	for start := 0; start < len(list); {
		n, end := mailboxLength(list[start:])
		if from, to := bareName(list[start : start+n]); to > 0 {
			out.WriteString(list[done : start+from])
			out.WriteString(id.qualifyName(list[start+from : start+to]))
			done = start + to
		}
		start += end
	}
	if done == 0 {
		return list
	}
	out.WriteString(list[done:])
	return out.String()
}

// mailboxLength finds the end of the mailbox that list begins with, without and with the character
// that ends it: a comma, or the : and ; of groups (RFC 5322 3.4).
func mailboxLength(list string) (n, end int) {
	for i := 0; i < len(list); {
		switch list[i] {
		case ',', ';':
			return i, i + 1
		case ':':
			return 0, i + 1 // the name of a group, no mailbox
		case '"', '(', '<':
			i += mime.TokenLength(list[i:])
		default:
			i++
		}
	}
	return len(list), len(list)
}

// qualifyName completes a bare name as it is written, and takes the quotes off an address that is quoted as a
// whole. What is quoted and neither stays.
func (id *Identity) qualifyName(name string) string {
	if !strings.HasPrefix(name, `"`) {
		return name + "@" + id.Domain
	}
	list, err := mime.ParseAddressList(name)
	if err != nil || len(list) != 1 {
		return name
	}
	if _, _, qualified := mime.SplitAddress(list[0].Addr); qualified {
		return list[0].Addr
	}
	return name + "@" + id.Domain
}

// bareName finds the name of a mailbox that lacks its domain: in angle brackets, else the only word. The end
// is 0 when the mailbox has a domain or cannot be understood. A word beyond ASCII is not a bare name
// but half of a display name without quotes: Doé, Ann <ann@x>.
func bareName(mailbox string) (start, end int) {
	words := 0
	for i := 0; i < len(mailbox); {
		n, c := 1, mailbox[i]
		if c == '"' || c == '(' || c == '<' {
			n = mime.TokenLength(mailbox[i:])
		}
		switch c {
		case '<':
			return bareInAngle(mailbox[:i+n], i)
		case '(', ' ', '\t':
		case '@':
			return 0, 0
		default:
			if c >= 0x80 {
				return 0, 0
			}
			if end != i || words == 0 {
				start = i
				words++
			}
			end = i + n
		}
		i += n
	}
	if words != 1 {
		return 0, 0
	}
	return start, end
}

// bareInAngle finds the name in mailbox[start:], which is an angle address.
func bareInAngle(mailbox string, start int) (from, to int) {
	inner, closed := strings.CutSuffix(mailbox[start+1:], ">")
	if !closed || strings.Contains(inner, "<") {
		return 0, 0
	}
	from, to = bareName(inner)
	if to == 0 {
		return 0, 0
	}
	return start + 1 + from, start + 1 + to
}
