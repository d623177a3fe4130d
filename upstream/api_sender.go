package upstream

import (
	"slices"
	"strings"

	"mailhatch/mime"
)

// apiFrom gives the mailboxes of From. Where there are only words, they are the name and the address
// is that of the envelope.
func apiFrom(m *Mail) ([]mime.Address, *Error) {
	from := slices.DeleteFunc(slices.Clone(m.Message.From), func(a mime.Address) bool { return !strings.Contains(a.Addr, "@") })
	switch {
	case len(from) > 0:
		return from, nil
	case m.From == "":
		return nil, apiError(Unrepresentable, "5.6.0", "the message has no From address and no envelope sender; default_from in [identity] would fill it in")
	}
	words := strings.Trim(m.Message.Header.Text("From"), " \t\"<>,;:@")
	return []mime.Address{{Name: words, Addr: m.From}}, nil
}

// readSender chooses the one From address that APIs take. Of several the Sender is it, or the first
// that they can take, and replies still go to all (RFC 5322 3.6.2).
func (o *apiMessage) readSender(m *Mail) *Error {
	from, err := apiFrom(m)
	if err != nil {
		return err
	}
	if o.from, err = apiChooseSender(from, m.Message.Sender); err != nil {
		return err
	}
	replyTo := m.Message.ReplyTo
	if len(from) > 1 && len(replyTo) == 0 {
		replyTo = from
	}
	o.replyTo, err = apiReplyTo(replyTo)
	return err
}

func apiChooseSender(from []mime.Address, sender *mime.Address) (mime.Address, *Error) {
	if sender != nil && len(from) > 1 && slices.ContainsFunc(from, func(a mime.Address) bool { return strings.EqualFold(a.Addr, sender.Addr) }) {
		from = append([]mime.Address{*sender}, from...)
	}
	var first *Error
	for _, a := range from {
		addr, err := apiSender(a.Addr)
		if err == nil {
			return mime.Address{Name: apiLine(a.Name), Addr: addr}, nil
		}
		if first == nil {
			first = err
		}
	}
	return mime.Address{}, first
}

// apiReplyTo gives the addresses that can be replied to, each once.
func apiReplyTo(list []mime.Address) ([]mime.Address, *Error) {
	seen := map[string]bool{}
	var replyTo []mime.Address
	for _, a := range list {
		addr, key, err := apiAddress(a.Addr)
		if err != nil {
			if err.Class == Permanent {
				continue // it could not be replied to either
			}
			return nil, err
		}
		if !apiReachable(addr) {
			continue // the API would refuse the whole mail for it
		}
		if !seen[key] {
			seen[key] = true
			replyTo = append(replyTo, mime.Address{Name: apiLine(a.Name), Addr: addr})
		}
	}
	return replyTo, nil
}

// apiReachable says whether the domain of an address is one that a stranger could write to: names of
// letters, digits and hyphens with a dot between them (RFC 5321 2.3.5).
func apiReachable(addr string) bool {
	domain := addr[strings.LastIndexByte(addr, '@')+1:]
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return strings.Contains(domain, ".")
}

// apiSender is apiAddress for From: what is no address there may be carried by another kind. So may
// one whose domain cannot be that of a verified sender: no account can send in its name.
func apiSender(s string) (string, *Error) {
	addr, err := apiSenderForm(s)
	if err == nil && !apiReachable(addr) {
		return "", apiError(Unrepresentable, "5.1.7", "From: %s is no address of the Internet, so that the API cannot send in its name; "+
			"rewrite_from of the upstream would replace it", s)
	}
	return addr, err
}

// apiSenderForm is apiSender where any domain will do.
func apiSenderForm(s string) (string, *Error) {
	addr, _, err := apiAddress(s)
	if err != nil && err.Class == Permanent {
		return "", apiError(Unrepresentable, "5.1.7", "From: %v", err.Err)
	}
	return addr, err
}
