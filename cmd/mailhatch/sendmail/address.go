package sendmail

import (
	"fmt"
	"strings"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/mime"
)

// recipients are the addresses that a message is for, and what was written like one.
type recipients struct {
	good []string
	bad  []malformed
}

// malformed is a word or a mailbox of a list that is not an address.
type malformed struct {
	text string
	err  error
}

// add reads a list of addresses. Each mailbox counts by itself: what is wrong with one is not the others' fault.
func (r *recipients) add(list string) {
	for _, mailbox := range mailboxesOf(list) {
		addrs, err := mailboxes(mailbox)
		r.good = append(r.good, addrs...)
		if err != nil {
			r.bad = append(r.bad, malformed{strings.TrimSpace(mailbox), err})
		}
	}
}

// addWords reads words of the command line: an address each, or several with commas.
func (r *recipients) addWords(words []string) {
	for _, w := range words {
		before := len(r.good) + len(r.bad)
		if r.add(w); len(r.good)+len(r.bad) == before {
			r.bad = append(r.bad, malformed{w, fmt.Errorf("%q is not an address", w)})
		}
	}
}

// addHeader reads those that -t asks for: To, Cc and Bcc or, if the message was resent, those
// of the latest time, which comes first (RFC 5322 3.6.6).
func (r *recipients) addHeader(h mime.Header) {
	names := map[string]bool{"to": true, "cc": true, "bcc": true}
	resent := map[string]bool{"resent-to": true, "resent-cc": true, "resent-bcc": true}
	if h.Has("Resent-To") || h.Has("Resent-Cc") || h.Has("Resent-Bcc") {
		names = resent
	}
	seen := map[string]bool{}
	for _, f := range h {
		name := strings.ToLower(f.Name)
		if name == "received" && len(seen) > 0 {
			break // it separates the times
		}
		if strings.HasPrefix(name, "resent-") && names["resent-to"] {
			if seen[name] {
				break // an earlier time begins
			}
			seen[name] = true
		}
		if names[name] {
			r.add(f.Value())
		}
	}
}

// mailboxesOf splits a list at its commas and at the ends of its groups.
func mailboxesOf(list string) (all []string) {
	start := 0
	for i := 0; i < len(list); {
		switch list[i] {
		case ',', ';':
			all = append(all, list[start:i])
			i++
			start = i
		case '(', '<', '"', '[':
			i += mime.TokenLength(list[i:])
		default:
			i++
		}
	}
	return append(all, list[start:])
}

// mailboxes reads one mailbox that mail is sent to; none is in a list that has only the name of a group.
func mailboxes(s string) ([]string, error) {
	if looseWords(s) {
		return nil, fmt.Errorf("%q: there are words beside an address; put commas between addresses", s)
	}
	list, err := mime.ParseAddressList(s)
	if err != nil {
		return nil, err
	}
	var to []string
	for _, a := range list {
		if err := submit.CheckAddress(a.Addr); err != nil {
			return nil, err
		}
		to = append(to, a.Addr)
	}
	return to, nil
}

// looseWords reports whether there are words behind angle brackets, or a mailbox of several words without
// them: "a@x.org b@y.org" would be a@x.org with the name b@y.org, and b would get nothing. White space
// beside @ and dots is obsolete syntax of one word (RFC 5322 4.4).
func looseWords(list string) bool {
	words, angle, last := 0, false, byte(',')
	for i := 0; i < len(list); i++ {
		c, start := list[i], i
		switch c {
		case ',', ';':
			if words > 1 && !angle {
				return true
			}
			words, angle, last = 0, false, c
			continue
		case ':': // before it was the name of a group, or a route
			words, angle, last = 0, false, c
			continue
		case ' ', '\t', '\r', '\n':
			continue
		case '(':
			i += mime.TokenLength(list[i:]) - 1
			continue
		case '<':
			if angle {
				return true
			}
			n := mime.TokenLength(list[i:])
			around := strings.Count(list[i:i+n], "<") - 1 // brackets around those of the address
			for i, angle = i+n-1, true; around > 0 && strings.HasPrefix(list[i+1:], ">"); around-- {
				i++
			}
			continue
		case '"':
			i += mime.TokenLength(list[i:]) - 1
		case '[':
			i += mime.TokenLength(list[i:]) - 1
		}
		if angle {
			return true
		}
		separate := start == 0 || strings.IndexByte(" \t\r\n", list[start-1]) >= 0
		if words == 0 || separate && strings.IndexByte("@.", c) < 0 && strings.IndexByte("@.", last) < 0 {
			words++
		}
		last = list[i]
	}
	return words > 1 && !angle
}
