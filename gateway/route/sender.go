package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/glob"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// senderMapping is one entry of map_sender.
type senderMapping struct {
	pattern matcher
	target  *template // its stars are those of pattern
}

// senders compiles map_sender. Of the patterns that match an address the one that says most of it counts, whatever
// their order: an address before a local part, that before a domain (as in Postfix's canonical(5)), then the one
// with more characters.
func (c *compiler) senders(given map[string]string) []senderMapping {
	var list []senderMapping
	for _, pattern := range slices.Sorted(maps.Keys(given)) {
		key := "map_sender." + pattern
		switch {
		case strings.HasPrefix(pattern, "!"):
			c.fail(key, "must not be negated", "addresses that no pattern matches stay as they are")
			continue
		case pattern == "<>":
			c.fail(key, "cannot be mapped: bounces keep the null sender (RFC 5321 4.5.5)", "")
			continue
		}
		p := c.patterns(key, []string{pattern}, compileAddresses)
		t, err := splitTemplate(given[pattern], true)
		switch {
		case err != nil:
			c.fail(key, err.Error(), placeholderHint)
		case p != nil && t.stars > p.stars():
			c.fail(key, fmt.Sprintf("has a * in %q that the pattern has no * for", given[pattern]), `write "*@old.example" = "*@new.example"`)
		case p != nil:
			list = append(list, senderMapping{p.plain[0], &t})
		}
	}
	slices.SortStableFunc(list, func(a, b senderMapping) int { return cmp.Compare(b.weight(), a.weight()) })
	return list
}

// weight is greater the more a pattern says.
func (s *senderMapping) weight() int {
	const address, localPart = 1 << 20, 1 << 16
	local, _, _ := mime.SplitAddress(s.pattern.glob)
	n := len(s.pattern.glob) - strings.Count(s.pattern.glob, "*")
	switch {
	case !strings.ContainsAny(s.pattern.glob, "*?"):
		return n + address
	case !strings.ContainsAny(local, "*?"):
		return n + localPart
	}
	return n
}

// mapSenders changes the envelope sender and the addresses in From and Sender, each for itself, but for those
// that the rule sets.
func (w *work) mapSenders() {
	if len(w.rule.texts.senders) == 0 {
		return
	}
	if from := w.m.Envelope.From; from != "" && w.rule.SetEnvelopeFrom == "" {
		if to := w.mapped(from); to != from {
			w.setSender(to)
		}
	}
	if w.rule.SetFrom.Addr == "" {
		w.mapField("From", w.msg.From)
	}
	_, written := w.set("Sender")
	removed := upstream.MatchesField("Sender", w.rule.RemoveHeader)
	if w.msg.Sender != nil && !written && !removed && w.rule.SetFrom.Addr == "" {
		w.mapField("Sender", []mime.Address{*w.msg.Sender})
	}
}

// mapField changes the addresses of a field; names stay.
func (w *work) mapField(name string, old []mime.Address) {
	texts := make([]string, len(old))
	changed := false
	for i, a := range old {
		to := w.mapped(a.Addr)
		changed = changed || to != a.Addr
		a.Addr = to
		texts[i] = a.String()
	}
	if changed {
		value := strings.Join(texts, ", ")
		w.edits = append(w.edits, mime.Edit{Op: mime.Replace, Name: name, Value: value})
		w.say(name, "becomes", value)
	}
}

// mapped returns what map_sender makes of an address.
func (w *work) mapped(given string) string {
	for _, s := range w.rule.texts.senders {
		stars, ok := glob.Stars(s.pattern.glob, mime.AddressText(given))
		if !ok {
			continue
		}
		to, err := address(w.filled(s.target, stars))
		if err != nil {
			w.say(given, "stays:", err.Error())
			return given
		}
		return to
	}
	return given
}
