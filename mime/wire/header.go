package wire

import (
	"bytes"
	"slices"
	"strings"

	"mailhatch/mime"
)

// MaxReferences is the longest References field, in bytes: some servers refuse or cut longer ones.
const MaxReferences = 4096

// Fit returns the message with edits made, and its header as RFC 5322 and relays want it: no separator line of a
// mailbox file, no CR within a line, To and Cc once each, References of at most [MaxReferences] bytes
// without ids from its middle (3.6.4), and lines of at most [MaxLine] octets where there are places to fold. A header
// that is fit stays as it is, byte for byte. Errors are those of reading the source.
func Fit(m *mime.Message, edits ...mime.Edit) (*mime.Message, error) {
	if len(edits) == 0 && isFit(m) {
		return m, nil
	}
	m, err := Clean(m)
	if err != nil {
		return nil, err
	}
	h := mime.ParseHeader(m.HeaderBytes())
	for _, name := range []string{"To", "Cc"} {
		if values := h.Values(name); len(values) > 1 {
			edits = append(edits, mime.Edit{Op: mime.Replace, Name: name, Value: joinLists(values), UTF8: true})
		}
	}
	rewritten := slices.ContainsFunc(edits, func(e mime.Edit) bool { return e.Op == mime.Replace && e.Name == "References" }) // by [KeepID]
	for _, f := range h {
		if !rewritten && strings.EqualFold(f.Name, "References") && (len(f.Raw) > MaxReferences || tooLong(f.Raw) && len(foldField(f, "\r\n")) > MaxReferences) {
			edits = append(edits, mime.Edit{Op: mime.Replace, Name: f.Name, Value: ShortReferences(f.Value()), UTF8: true})
			break
		}
	}
	if m, err = m.With(edits...); err != nil {
		return nil, err
	}
	if head := m.HeaderBytes(); tooLong(head) {
		return m.WithHeader(foldHeader(head))
	}
	return m, nil
}

// Clean returns the message with edits made, and its header without the separator lines of a mailbox file on top and
// without CRs within lines, which would end these elsewhere. Errors are those of reading the source.
func Clean(m *mime.Message, edits ...mime.Edit) (*mime.Message, error) {
	head := m.HeaderBytes()
	if loneCR(head) { // it may have been part of what a field means
		rest := int64(len(head))
		var err error
		if m, err = mime.Parse(mime.Concat(mime.NewBytesSource(withoutLoneCR(head)), mime.Section(m.Source, rest, m.Source.Size()-rest))); err != nil {
			return nil, err
		}
	}
	m, err := withoutSeparators(m)
	if err != nil || len(edits) == 0 {
		return m, err
	}
	return m.With(edits...)
}

// isFit reports whether Fit has nothing to do.
func isFit(m *mime.Message) bool {
	head := m.HeaderBytes()
	var to, cc int
	for _, f := range m.Header {
		switch {
		case strings.EqualFold(f.Name, "To"):
			to++
		case strings.EqualFold(f.Name, "Cc"):
			cc++
		case len(f.Raw) > MaxReferences && strings.EqualFold(f.Name, "References"):
			return false
		}
	}
	return to <= 1 && cc <= 1 && !loneCR(head) && !tooLong(head) && !bytes.Contains(head, []byte("From "))
}

func tooLong(head []byte) bool {
	var lines LineMeter
	lines.Write(head)
	return lines.TooLong()
}

// withoutSeparators removes the lines by which mailbox files separate messages from the top of a header, below trace fields
// that it got since (RFC 4155).
func withoutSeparators(m *mime.Message) (*mime.Message, error) {
	head := m.HeaderBytes()
	var out []byte
	found := false
	top := true
	for _, f := range mime.ParseHeader(head) {
		if top && isSeparatorLine(f) {
			found = true
			continue
		}
		top = top && (strings.EqualFold(f.Name, "Received") || strings.EqualFold(f.Name, "Return-Path"))
		out = append(out, f.Raw...)
	}
	if !found {
		return m, nil
	}
	return m.WithHeader(out)
}

// joinLists makes one address list of several.
func joinLists(values []string) string {
	var lists []string
	for _, v := range values {
		if v = strings.Trim(v, " \t,"); v != "" {
			lists = append(lists, v)
		}
	}
	return strings.Join(lists, ", ")
}

// ShortReferences returns the value of a References field of at most [MaxReferences] bytes on lines of their own: ids
// from the middle are left out, as few as are necessary.
func ShortReferences(value string) string {
	ids := strings.Fields(strings.ReplaceAll(value, "><", "> <"))
	if len(ids) < 3 {
		return strings.Join(ids, " ")
	}
	const perID = len("\r\n ")
	room := MaxReferences - len("References:") - len(ids[0]) - len(ids[len(ids)-1]) - 2*perID
	from := len(ids) - 1
	for from > 1 && room >= len(ids[from-1])+perID {
		from--
		room -= len(ids[from]) + perID
	}
	return strings.Join(append(ids[:1:1], ids[from:]...), " ")
}

// foldHeader folds the fields of a header that have a line of more than MaxLine octets, where they have places for
// that.
func foldHeader(head []byte) []byte {
	if !tooLong(head) {
		return head
	}
	eol := mime.LineEnd(head)
	out := make([]byte, 0, len(head)+len(head)/32)
	for _, f := range mime.ParseHeader(head) {
		if f.Name == "" || !tooLong(f.Raw) {
			out = append(out, f.Raw...)
			continue
		}
		out = append(out, foldField(f, eol)...)
	}
	return out
}

// foldField folds a field at its white space and, while that is not enough, where white space may be added.
func foldField(f mime.Field, eol string) []byte {
	name, _, _ := strings.Cut(string(f.Raw), ":")
	value := f.Value()
	folded := mime.Fold(name+": "+value, eol)
	if !tooLong(folded) {
		return folded
	}
	switch strings.ToLower(f.Name) {
	case "references", "in-reply-to":
		value = strings.ReplaceAll(value, "><", "> <")
	case "from", "sender", "reply-to", "to", "cc", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-reply-to":
		value = spaced(value, ',')
	case "content-type", "content-disposition":
		value = spaced(value, ';')
	case "subject":
		value = mime.EncodeWords(value)
	}
	return mime.Fold(name+": "+value, eol)
}

// spaced puts a space behind each separator of a structured value that has none.
func spaced(value string, separator byte) string {
	var out strings.Builder
	for i := 0; i < len(value); {
		n := 1
		if c := value[i]; c == '"' || c == '(' || c == '<' {
			n = mime.TokenLength(value[i:])
		}
		out.WriteString(value[i : i+n])
		if i += n; value[i-1] == separator && n == 1 && i < len(value) && value[i] != ' ' {
			out.WriteByte(' ')
		}
	}
	return out.String()
}
