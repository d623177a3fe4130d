package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Mail is a message that is being accepted, as rewrite rules see and change it.
type Mail struct {
	Envelope *envelope.Envelope // rules change From and To; To is replaced, not written to
	Header   []byte             // raw, completed; with or without the empty line
	Size     int64              // bytes of the whole message; 0 where no rule asks

	// Copies are the recipients that rules added, by mime.AddressKey: they are hidden, and the sender is not
	// notified of what becomes of them.
	Copies map[string]bool
	// Redirected reports that recipients were replaced: the old ones must not be shown.
	Redirected bool
	// Applied are the names of the rules that matched.
	Applied []string

	parsed *mime.Message // Header; nil after a change
	input  *Input        // what rules may ask of parsed
}

// read reads the header, once between changes.
func (m *Mail) read() error {
	if m.parsed != nil {
		return nil
	}
	parsed, err := mime.Parse(mime.NewBytesSource(m.Header))
	if err != nil {
		return err
	}
	m.parsed, m.input = parsed, NewInput("", m.Envelope, parsed, m.Size)
	return nil
}

func (m *Mail) isCopy(address string) bool { return m.Copies[mime.AddressKey(address)] }

// NewInput returns what rules may ask of a message.
func NewInput(id string, env *envelope.Envelope, msg *mime.Message, size int64) *Input {
	in := &Input{ID: id, Envelope: env, Subject: msg.Subject, Size: size}
	for _, a := range msg.From {
		in.HeaderFrom = append(in.HeaderFrom, a.Addr)
	}
	decoded := map[string][]string{} // by name: many rules may ask for the same field
	in.Header = func(name string) []string {
		values, known := decoded[name]
		if !known {
			values = msg.Header.Values(name)
			for i, v := range values {
				values[i] = mime.DecodeText(v)
			}
			decoded[name] = values
		}
		return values
	}
	return in
}

// Apply changes m by all rules that match, in their order; each sees what those before it left.
func (t *Rewrites) Apply(m *Mail) error {
	for i := range t.rules {
		w, err := t.rules[i].work(m)
		if err != nil {
			return err
		}
		if slices.Contains(w.matched, true) {
			w.do()
		}
	}
	return nil
}

// work is one rule at one message.
type work struct {
	rule    *rewrite
	m       *Mail
	msg     *mime.Message // the header of m
	in      *Input
	matched []bool // for each recipient
	edits   []mime.Edit
	changes []string
}

// work finds out for which recipients the rule holds.
func (r *rewrite) work(m *Mail) (*work, error) {
	if err := m.read(); err != nil {
		return nil, err
	}
	w := &work{rule: r, m: m, msg: m.parsed, in: m.input, matched: make([]bool, len(m.Envelope.To))}
	if !r.holds(w.in) {
		return w, nil
	}
	for i, rcpt := range m.Envelope.To {
		w.in.To = rcpt.Address
		w.matched[i] = r.to == nil || r.to.holds(w.in)
	}
	if i := slices.Index(w.matched, true); i >= 0 {
		w.in.To = m.Envelope.To[i].Address // of several, the first is what fields are written with
	}
	return w, nil
}

// do changes the message.
func (w *work) do() {
	w.m.Applied = append(w.m.Applied, w.rule.name)
	w.fields()
	w.mapSenders()
	w.from()
	w.subject()
	w.sender()
	w.redirect()
	w.copies()
	if len(w.edits) > 0 {
		w.m.Header, w.m.parsed = mime.EditHeader(w.m.Header, w.edits...), nil
	}
}

func (w *work) say(parts ...string) { w.changes = append(w.changes, strings.Join(parts, " ")) }

// fields takes away, sets and adds.
func (w *work) fields() {
	for _, name := range w.rule.RemoveHeader {
		w.edits = append(w.edits, mime.Edit{Op: mime.Remove, Name: name})
		w.say("remove", name)
	}
	for _, name := range slices.Sorted(maps.Keys(w.rule.SetHeader)) {
		value, ok := w.value(name, w.rule.texts.setHeader[name])
		if !ok {
			continue
		}
		w.own(name)
		w.edits = append(w.edits, mime.Edit{Op: mime.Replace, Name: name, Value: value})
		w.say("set", name+":", quoted(value))
	}
	for _, name := range slices.Sorted(maps.Keys(w.rule.AddHeader)) {
		for _, text := range w.rule.texts.addHeader[name] {
			value, ok := w.value(name, text)
			if !ok {
				continue
			}
			if w.own(name) { // what stands there is not
				w.edits = append(w.edits, mime.Edit{Op: mime.Remove, Name: name})
			}
			w.edits = append(w.edits, mime.Edit{Op: mime.Append, Name: name, Value: value})
			w.say("add", name+":", quoted(value))
		}
	}
}

// own notes a field that no upstream strips, for it is the operator who tells the provider what to do. It reports
// whether it was a program's until now.
func (w *work) own(name string) bool {
	env := w.m.Envelope
	if !upstream.IsControlField(name) || upstream.MatchesField(name, env.Own) {
		return false
	}
	env.Own = append(env.Own[:len(env.Own):len(env.Own)], strings.ToLower(name))
	return true
}

// value returns what a field gets; false where it cannot be written for this message.
func (w *work) value(name string, t *template) (value string, ok bool) {
	value, err := w.text(t)
	if err == nil && slices.Contains(addressFields, strings.ToLower(name)) && !addresses(value) {
		err = fmt.Errorf("%s is not a list of addresses", quoted(value))
	}
	if err == nil && strings.TrimSpace(value) == "" {
		err = errors.New("it would be empty")
	}
	if err != nil {
		w.say(name, "is not written:", err.Error())
	}
	return value, err == nil
}

// from sets From. A Sender would still show the old one (RFC 5322 3.6.2): it is removed, unless this rule wrote it.
func (w *work) from() {
	var a mime.Address
	if w.rule.SetFrom.Addr == "" {
		return
	}
	name, err := w.text(w.rule.texts.fromName)
	if err == nil {
		a.Addr, err = address(w.text(w.rule.texts.from))
	}
	if err != nil {
		w.say("From stays:", err.Error())
		return
	}
	if a.Name = name; a.Name == "" && len(w.msg.From) > 0 {
		a.Name = w.msg.From[0].Name
	}
	w.edits = append(w.edits, mime.Edit{Op: mime.Replace, Name: "From", Value: a.String()})
	w.say("From becomes", a.String())
	if _, written := w.set("Sender"); w.msg.Header.Has("Sender") && !written {
		w.edits = append(w.edits, mime.Edit{Op: mime.Remove, Name: "Sender"})
		w.say("remove Sender")
	}
}

// subject puts the prefix before the subject as it is written. Only where one of the two is not ASCII
// the subject is encoded anew: a space between two encoded words would not be seen (RFC 2047 6.2).
func (w *work) subject() {
	prefix, err := w.text(w.rule.texts.prefix)
	if err != nil {
		w.say("Subject stays:", err.Error())
	}
	if prefix == "" {
		return
	}
	text, raw := w.msg.Subject, w.msg.Header.Get("Subject")
	if set, ok := w.set("Subject"); ok {
		text, raw = set, set
	}
	if hasPrefix(text, prefix) {
		w.say("the subject has the prefix", quoted(prefix))
		return
	}
	if !mime.IsASCII(prefix) || !mime.IsASCII(raw) {
		raw = text
	}
	w.edits = append(w.edits, mime.Edit{Op: mime.Replace, Name: "Subject", Value: strings.TrimSpace(prefix + " " + raw)})
	w.say("Subject becomes", quoted(strings.TrimSpace(prefix+" "+text)))
}

// set is what this rule sets a field to.
func (w *work) set(field string) (string, bool) {
	for name, text := range w.rule.texts.setHeader {
		if value, err := w.text(text); err == nil && strings.EqualFold(name, field) {
			return value, true
		}
	}
	return "", false
}

// hasPrefix finds a prefix also behind the marks of replies: "Re: [app] …", "AW[2]: [app] …".
func hasPrefix(subject, prefix string) bool {
	const mark = 8 // bytes of the longest mark
	for {
		subject = strings.TrimSpace(subject)
		if len(subject) >= len(prefix) && strings.EqualFold(subject[:len(prefix)], prefix) {
			return true
		}
		word, rest, found := strings.Cut(subject, ":")
		if !found || word == "" || len(word) > mark || strings.ContainsAny(word, " \t") {
			return false
		}
		subject = rest
	}
}

// sender sets the envelope sender; the null sender of bounces stays (RFC 5321 4.5.5).
func (w *work) sender() {
	if w.rule.SetEnvelopeFrom == "" {
		return
	}
	if w.m.Envelope.From == "" {
		w.say("the null sender stays")
		return
	}
	from, err := address(w.text(w.rule.texts.sender))
	if err != nil {
		w.say("the envelope sender stays:", err.Error())
		return
	}
	w.setSender(from)
}

func (w *work) setSender(from string) {
	w.say("envelope sender", w.m.Envelope.From, "becomes", from)
	w.m.Envelope.From = from
}

func quoted(s string) string { return strconv.Quote(shorten(s)) }
