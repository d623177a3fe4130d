package api

import (
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// From returns the mailboxes of From. Where there are only words, they are the name and the address
// is that of the envelope.
func From(m *upstream.Mail) ([]mime.Address, *upstream.Error) {
	from := slices.DeleteFunc(slices.Clone(m.Message.From), func(a mime.Address) bool { return !strings.Contains(a.Addr, "@") })
	switch {
	case len(from) > 0:
		return from, nil
	case m.From == "":
		return nil, Errorf(upstream.Unrepresentable, "5.6.0", "the message has no From address and no envelope sender; default_from in [identity] would fill it in")
	}
	words := strings.Trim(m.Message.Header.Text("From"), " \t\"<>,;:@")
	return []mime.Address{{Name: words, Addr: m.From}}, nil
}

// readSender chooses the one From address that APIs take. Of several the Sender is it, or the first
// that they can take, and replies still go to all (RFC 5322 3.6.2).
func (o *Message) readSender(m *upstream.Mail) *upstream.Error {
	from, err := From(m)
	if err != nil {
		return err
	}
	if o.From, err = chooseSender(from, m.Message.Sender); err != nil {
		return err
	}
	replyTo := m.Message.ReplyTo
	if len(from) > 1 && len(replyTo) == 0 {
		replyTo = from
	}
	o.ReplyTo, err = replyToOf(replyTo)
	return err
}

// Sender returns the address that an API is told beside a message, in whose name it sends.
func Sender(m *upstream.Mail) (string, *upstream.Error) {
	from, err := From(m)
	if err != nil {
		return "", err
	}
	a, err := chooseSender(from, m.Message.Sender)
	return a.Addr, err
}

func chooseSender(from []mime.Address, sender *mime.Address) (mime.Address, *upstream.Error) {
	if sender != nil && len(from) > 1 && slices.ContainsFunc(from, func(a mime.Address) bool { return mime.SameAddress(a.Addr, sender.Addr) }) {
		from = append([]mime.Address{*sender}, from...)
	}
	var first *upstream.Error
	for _, a := range from {
		addr, err := senderOf(a.Addr)
		if err == nil {
			return mime.Address{Name: Line(a.Name), Addr: addr}, nil
		}
		if first == nil {
			first = err
		}
	}
	return mime.Address{}, first
}

// replyToOf returns the addresses that can be replied to, each once.
func replyToOf(list []mime.Address) ([]mime.Address, *upstream.Error) {
	seen := map[string]bool{}
	var replyTo []mime.Address
	for _, a := range list {
		addr, key, err := Address(a.Addr)
		if err != nil {
			if err.Class == upstream.Permanent {
				continue // it could not be replied to either
			}
			return nil, err
		}
		if !isReachable(addr) {
			continue // the API would refuse the whole mail for it
		}
		if !seen[key] {
			seen[key] = true
			replyTo = append(replyTo, mime.Address{Name: Line(a.Name), Addr: addr})
		}
	}
	return replyTo, nil
}

// isReachable reports whether the domain of an address is one that a stranger could write to: names of
// letters, digits and hyphens with a dot between them (RFC 5321 2.3.5).
func isReachable(addr string) bool {
	_, domain, _ := mime.SplitAddress(addr)
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return strings.Contains(domain, ".")
}

// senderOf is Address for From: what is no address there may be carried by another kind. So may
// one whose domain cannot be that of a verified sender: no account can send in its name.
func senderOf(s string) (string, *upstream.Error) {
	addr, err := SenderForm(s)
	if err == nil && !isReachable(addr) {
		return "", Errorf(upstream.Unrepresentable, "5.1.7", "From: %s has no Internet domain, so the API cannot send for it; "+
			"rewrite_from of the upstream would replace it", s)
	}
	return addr, err
}

// SenderForm is senderOf where any domain will do.
func SenderForm(s string) (string, *upstream.Error) {
	addr, _, err := Address(s)
	if err != nil && err.Class == upstream.Permanent {
		return "", Errorf(upstream.Unrepresentable, "5.1.7", "From: %v", err.Err)
	}
	return addr, err
}
