package route

import (
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// copies adds hidden recipients, once for a message.
func (w *work) copies() {
	for _, address := range w.rule.AddBcc {
		if recipient(w.m.Envelope.To, address) >= 0 {
			w.say(address, "gets it already")
			continue
		}
		to := w.m.Envelope.To
		w.m.Envelope.To = append(to[:len(to):len(to)], envelope.Recipient{Address: address, Notify: []string{"NEVER"}})
		if w.m.Copies == nil {
			w.m.Copies = map[string]bool{}
		}
		w.m.Copies[mime.AddressKey(address)] = true
		w.say("copy to", address)
	}
}

// redirect replaces the recipients that match. Those that the header shows anyway are named in X-Original-To.
func (w *work) redirect() {
	if len(w.rule.RedirectTo) == 0 {
		return
	}
	shown := w.shown()
	var original []string
	out := redirection{places: map[string]int{}, copies: map[string]bool{}}
	for i, rcpt := range w.m.Envelope.To {
		isCopy := w.m.isCopy(rcpt.Address)
		var targets []string
		if w.matched[i] {
			targets = w.targets(rcpt.Address)
		}
		if len(targets) == 0 {
			out.add(rcpt, isCopy)
			continue
		}
		if !slices.ContainsFunc(targets, func(a string) bool { return mime.SameAddress(a, rcpt.Address) }) {
			w.m.Redirected = true
			w.say("recipient", rcpt.Address, "becomes", strings.Join(targets, ", "))
			if name := asShown(rcpt, shown); name != "" && !slices.Contains(original, name) {
				original = append(original, name)
			}
		}
		for _, address := range targets {
			out.add(replaced(rcpt, address), isCopy)
		}
	}
	w.m.Envelope.To, w.m.Copies = out.to, out.copies
	if len(original) > 0 {
		value := strings.Join(original, ", ")
		w.edits = append(w.edits, mime.Edit{Op: mime.Append, Name: "X-Original-To", Value: value})
		w.say("add X-Original-To:", quoted(value))
	}
}

// targets returns where a recipient is redirected to.
func (w *work) targets(rcpt string) []string {
	w.in.To = rcpt
	var list []string
	for _, text := range w.rule.texts.redirect {
		target, err := address(w.text(text))
		if err != nil {
			w.say("recipient", rcpt, "is not redirected:", err.Error())
			continue
		}
		list = append(list, target)
	}
	return list
}

// asShown returns a recipient as the header shows it, "" when it does not.
func asShown(r envelope.Recipient, shown map[string]string) string {
	for _, name := range []string{r.Given, r.Address} {
		if s, ok := shown[mime.AddressKey(name)]; ok {
			return s
		}
	}
	return ""
}

// shown returns the recipients that the header shows, as they stand there, by mime.AddressKey.
func (w *work) shown() map[string]string {
	shown := map[string]string{}
	for _, name := range []string{"To", "Cc", "Resent-To", "Resent-Cc"} {
		for _, value := range w.msg.Header.Values(name) {
			addresses, _ := mime.ParseAddressList(value) // what cannot be parsed is not shown
			for _, a := range addresses {
				if key := mime.AddressKey(a.Addr); shown[key] == "" {
					shown[key] = a.Addr
				}
			}
		}
	}
	return shown
}

// replaced is the recipient at another address. Its ORCPT (RFC 3461 4.2) is dropped: it would show the
// old recipient to the new one.
func replaced(r envelope.Recipient, address string) envelope.Recipient {
	if mime.SameAddress(r.Address, address) {
		return r
	}
	if r.Given == "" {
		r.Given = r.Address
	}
	r.Address, r.ORcpt = address, ""
	return r
}

// redirection gathers recipients, each address once.
type redirection struct {
	to     []envelope.Recipient
	places map[string]int  // in to, by mime.AddressKey
	copies map[string]bool // by mime.AddressKey
}

func (o *redirection) add(r envelope.Recipient, isCopy bool) {
	key := mime.AddressKey(r.Address)
	at, known := o.places[key]
	switch {
	case !known:
		o.places[key] = len(o.to)
		o.to = append(o.to, r)
		if isCopy {
			o.copies[key] = true
		}
	case o.copies[key] && !isCopy:
		o.to[at] = r // the sender's own recipient counts, not the copy
		delete(o.copies, key)
	}
}

// recipient finds an address among recipients, -1 when it is none.
func recipient(to []envelope.Recipient, address string) int {
	return slices.IndexFunc(to, func(r envelope.Recipient) bool { return mime.SameAddress(address, r.Address) })
}
