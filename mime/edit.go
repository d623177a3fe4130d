package mime

import (
	"bytes"
	"slices"
	"strings"
)

// Edit is one change of a header.
type Edit struct {
	Op    EditOp
	Name  string
	Value string // encoded (RFC 2047) and folded by EditHeader where needed; line ends in it become spaces
	UTF8  bool   // leave non-ASCII characters as raw UTF-8 (RFC 6532)

	Except []string            // Remove: names that stay
	Revise func(string) string // Revise: makes the new value of the old one
}

// EditOp is a kind of change.
type EditOp int

const (
	// Remove takes away all fields of that name, with the lines below them that are not fields but
	// the rest of theirs; Name may end in * ("X-Mailgun-*"). An empty Name removes all lines that are not fields.
	Remove EditOp = iota
	// Replace changes the first field of that name where it stands, further ones go, like Remove; else it
	// appends.
	Replace
	// Append adds a field at the end of the header.
	Append
	// Prepend adds a field at the top: trace fields.
	Prepend
	// Revise gives each field of that name the value that the function makes of its own. A field whose value stays is
	// left byte for byte.
	Revise
	// Mend makes a header of fields only: other lines continue the field before them, as if
	// they had lost their indent, or become Comments fields where that would change what the field
	// means. The separator lines of mailbox files go. Name and Value have no meaning.
	Mend
)

// EditHeader applies edits to the raw header (with or without its final empty line) and leaves
// every other byte as it was. New fields take the line end of the header's first line. An edit with a
// name that cannot be one does nothing. Without edits it returns raw itself.
func EditHeader(raw []byte, edits ...Edit) []byte {
	if len(edits) == 0 && len(withoutMark(raw)) == len(raw) {
		return raw
	}
	top := trimEmptyLine(raw)
	rest := raw[len(top):]
	eol := LineEnd(raw)
	fields := ParseHeader(top)
	for _, e := range edits {
		fields = e.apply(fields, eol)
	}
	size := len(rest)
	for _, f := range fields {
		size += len(f.Raw)
	}
	out := make([]byte, 0, size)
	for _, f := range fields {
		out = append(out, f.Raw...)
	}
	return append(out, rest...)
}

func (e Edit) apply(h Header, eol string) Header {
	switch e.Op {
	case Remove:
		return e.remove(h)
	case Mend:
		return readable(h, eol)
	}
	if !IsFieldName(e.Name) {
		return h
	}
	if e.Op == Revise {
		return e.revise(h, eol)
	}
	f := Field{Name: e.Name, Raw: e.field(eol)}
	switch e.Op {
	case Replace:
		return e.replace(h, f, eol)
	case Prepend:
		at := 0
		for at < len(h) && h[at].Name == "" && bytes.HasPrefix(bytes.TrimPrefix(h[at].Raw, []byte(">")), []byte("From ")) {
			at++ // the separator line of a mailbox file stays on top
		}
		return insert(h, at, f, eol)
	default:
		return insert(h, afterLastField(h), f, eol)
	}
}

func (e Edit) remove(h Header) Header {
	if !slices.ContainsFunc(h, func(f Field) bool { return e.matches(f.Name) }) {
		return h
	}
	kept := make(Header, 0, len(h))
	for i := 0; i < len(h); {
		if !e.matches(h[i].Name) {
			kept = append(kept, h[i])
			i++
			continue
		}
		i += 1 + lostLines(h[i:])
	}
	return kept
}

// lostLines counts the lines that are not fields but the rest of the first field of h.
func lostLines(h Header) int {
	n := 0
	for n+1 < len(h) && h[n+1].Name == "" && continues(h[0], string(bytes.Trim(h[n+1].Raw, " \t\r\n"))) {
		n++
	}
	return n
}

func (e Edit) spares(name string) bool {
	return slices.ContainsFunc(e.Except, func(other string) bool { return strings.EqualFold(name, other) })
}

// matches reports whether Remove means the field of that name.
func (e Edit) matches(name string) bool {
	prefix, wild := strings.CutSuffix(e.Name, "*")
	if !wild || name == "" {
		return strings.EqualFold(name, e.Name) && !e.spares(name)
	}
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) && !e.spares(name)
}

func (e Edit) replace(h Header, f Field, eol string) Header {
	kept := make(Header, 0, len(h)+1)
	done := false
	for i := 0; i < len(h); i++ {
		switch old := h[i]; {
		case !strings.EqualFold(old.Name, e.Name):
			kept = append(kept, old)
		default:
			i += lostLines(h[i:])
			if done {
				continue
			}
			if i == len(h)-1 && !bytes.HasSuffix(h[i].Raw, []byte("\n")) {
				f.Raw = bytes.TrimSuffix(f.Raw, []byte(eol)) // a header cut off without line end stays so
			}
			kept, done = append(kept, f), true
		}
	}
	if !done {
		return insert(kept, afterLastField(kept), f, eol)
	}
	return kept
}

func (e Edit) revise(h Header, eol string) Header {
	revised := make(Header, 0, len(h))
	for i, f := range h {
		if strings.EqualFold(f.Name, e.Name) {
			old := f.Value()
			if e.Value = e.Revise(old); e.Value != old {
				whole := bytes.HasSuffix(f.Raw, []byte("\n"))
				if f.Raw = e.field(eol); !whole && i == len(h)-1 {
					f.Raw = bytes.TrimSuffix(f.Raw, []byte(eol))
				}
			}
		}
		revised = append(revised, f)
	}
	return revised
}

// insert puts f before h[at], or behind it as long as it would be taken for folded text of f.
func insert(h Header, at int, f Field, eol string) Header {
	for at < len(h) && h[at].Name == "" && isSpace(h[at].Raw[0]) {
		at++
	}
	if at > 0 && !bytes.HasSuffix(h[at-1].Raw, []byte("\n")) {
		last := h[at-1].Raw
		h[at-1].Raw = append(last[:len(last):len(last)], eol...)
	}
	return slices.Insert(h, at, f)
}

// afterLastField is the end of the header proper: lines at its end that are not fields may be the body
// of a message without an empty line.
func afterLastField(h Header) int {
	at := len(h)
	for at > 0 && h[at-1].Name == "" {
		at--
	}
	for at > 0 && at < len(h) && isOpen(h[at-1].Raw) && isParameter(h[at].Raw) {
		at++
	}
	if at == 0 {
		for at < len(h) && bytes.HasPrefix(h[at].Raw, []byte("From ")) {
			at++
		}
	}
	return at
}

// changesTree reports whether the parts of a message may look different after the edit.
func (e Edit) changesTree() bool {
	const content = "content-"
	name, wild := strings.CutSuffix(strings.ToLower(e.Name), "*")
	return strings.HasPrefix(name, content) || wild && strings.HasPrefix(content, name)
}

// IsFieldName reports whether name can be that of a header field (RFC 5322 2.2): printable ASCII without colon.
func IsFieldName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return name != ""
}

// field writes the field with its line end.
func (e Edit) field(eol string) []byte {
	value := oneLine(e.Value)
	if !e.UTF8 && !IsASCII(value) {
		if isAddressField(e.Name) {
			value = encodeAddresses(value)
		} else {
			value = encodeText(value)
		}
	}
	return Fold(e.Name+": "+value, eol)
}

// isAddressField reports whether the value of a field is a list of addresses (RFC 5322 3.6).
func isAddressField(name string) bool {
	name = strings.ToLower(name)
	switch strings.TrimPrefix(name, "resent-") {
	case "from", "sender", "reply-to", "to", "cc", "bcc",
		"return-receipt-to", "disposition-notification-to", "errors-to", "mail-followup-to":
		return true
	}
	return false
}

// encodeAddresses encodes the names of an address list; any other value is encoded as text.
func encodeAddresses(value string) string {
	list, err := ParseAddressList(value)
	if err != nil || len(list) == 0 {
		return encodeText(value)
	}
	texts := make([]string, len(list))
	for i, a := range list {
		if texts[i] = a.String(); !strings.Contains(a.Addr, "@") && !IsASCII(a.Addr) {
			texts[i] = EncodeWords(a.Addr) // a word that only looks like an address: Doé, Ann <ann@x>
		}
	}
	return strings.Join(texts, ", ")
}

// Fold breaks a field at white space into lines of at most 78 characters where possible (RFC 5322
// 2.1.1). Each line keeps something beside white space.
func Fold(line, eol string) []byte {
	const limit = 78
	out := make([]byte, 0, len(line)+len(line)/16+len(eol)) // room for most line ends
	for len(line) > limit {
		at := foldPoint(line, limit)
		if at < 0 {
			break
		}
		out = append(out, line[:at]...)
		out = append(out, eol...)
		line = line[at:]
	}
	out = append(out, strings.TrimRight(line, " \t")...)
	return append(out, eol...)
}

// foldPoint returns the last white space within limit before which the line can break, else the first
// after it; -1 when there is none.
func foldPoint(line string, limit int) int {
	first := len(line) - len(strings.TrimLeft(line, " \t"))
	if first == 0 { // the first line: not between the name and the first word
		first = strings.IndexByte(line, ':') + 2
	}
	end := len(strings.TrimRight(line, " \t"))
	best := -1
	for i := first + 1; i < end; i++ {
		if !isSpace(line[i]) || isSpace(line[i-1]) {
			continue
		}
		if i > limit && best >= 0 {
			break
		}
		best = i
		if i > limit {
			break
		}
	}
	return best
}
