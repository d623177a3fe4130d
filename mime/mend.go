package mime

import (
	"bytes"
	"strings"
)

// readable returns the fields of a header as they are read: lines that are not fields are repaired, so that a
// boundary which lost its indent still counts. The bytes of the message stay as they are.
func readable(h Header, eol string) Header {
	for _, f := range h {
		if f.Name == "" {
			return mend(h, eol)
		}
	}
	return h
}

// mend is readable for a header that has such lines; see [Mend].
func mend(h Header, eol string) Header {
	out := make(Header, 0, len(h))
	for i := 0; i < len(h); i++ {
		f := h[i]
		text := string(bytes.Trim(f.Raw, " \t\r\n"))
		switch {
		case f.Name != "":
			if n := lostLines(h[i:]); n > 0 {
				f.Raw = joinLines(h[i:i+n+1], eol)
				i += n
			}
			out = append(out, f)
		case text == "" || len(out) == 0 && isMailboxLine(f.Raw):
		default:
			out = append(out, Field{Name: "Comments", Raw: []byte("Comments: " + text + eol)})
		}
	}
	return out
}

// joinLines makes one field of a field and the lines that are the rest of it.
func joinLines(lines Header, eol string) []byte {
	raw := bytes.TrimRight(lines[0].Raw, "\r\n")
	raw = raw[:len(raw):len(raw)]
	for _, f := range lines[1:] {
		if text := bytes.Trim(f.Raw, " \t\r\n"); len(text) > 0 {
			raw = append(append(append(raw, eol...), ' '), text...)
		}
	}
	return append(raw, eol...)
}

// isMailboxLine reports whether a line separates messages in a mailbox file: "From ", an address and a
// time (RFC 4155).
func isMailboxLine(line []byte) bool {
	line = bytes.TrimPrefix(line, []byte(">"))
	if !bytes.HasPrefix(line, []byte("From ")) {
		return false
	}
	colon := bytes.IndexByte(line, ':')
	return colon > 0 && colon+2 < len(line) && isDigit(line[colon-1]) && isDigit(line[colon+1]) && isDigit(line[colon+2])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// continues reports whether a line that is not a field may be taken for the rest of the field before it. It
// may not where more text would be another address or date, or when it is a field with spaces in
// its name. Whatever is below a Bcc may be one more hidden address.
func continues(before Field, text string) bool {
	if strings.EqualFold(before.Name, "Bcc") || strings.EqualFold(before.Name, "Resent-Bcc") {
		return true
	}
	name, _, colon := strings.Cut(text, ":")
	if colon && !strings.ContainsFunc(name, func(r rune) bool {
		return r != ' ' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return false
	}
	switch strings.ToLower(before.Name) {
	case "date", "resent-date", "message-id", "resent-message-id", "received", "return-path", "mime-version", "delivered-to":
		return false
	}
	return !isAddressField(before.Name)
}
