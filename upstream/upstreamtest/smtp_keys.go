package upstreamtest

import (
	"fmt"
	"slices"
	"strings"
)

// Recipients returns the addresses.
func (t SMTPTransaction) Recipients() []string {
	var out []string
	for _, r := range t.To {
		out = append(out, r.Address)
	}
	return out
}

// Key returns Resend-Idempotency-Key, https://resend.com/docs/send-with-smtp; with several fields, all of them.
func (t SMTPTransaction) Key() string {
	head, _, _ := strings.Cut(string(t.Data), "\r\n\r\n")
	var keys []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Resend-Idempotency-Key") {
			keys = append(keys, strings.TrimSpace(value))
		}
	}
	return strings.Join(keys, ", ")
}

// smtpReplay is a message that was taken with a key.
type smtpReplay struct {
	data       string
	recipients []string
	reply      string
}

// accept takes a message, and with Keyed not a second time, and gives the reply.
func (s *SMTP) accept(mail SMTPTransaction, taken bool) string {
	key := mail.Key()
	if s.options.Keyed && (key == "" || len(key) > 256 || strings.Contains(key, ",")) {
		s.fault("the idempotency key is %q", key)
	}
	recipients := slices.Sorted(slices.Values(mail.Recipients()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.replays[key]; ok && s.options.Keyed {
		if old.data != string(mail.Data) || !slices.Equal(old.recipients, recipients) {
			return "550 invalid_idempotent_request: Same idempotency key used with a different request payload."
		}
		return old.reply
	}
	if taken {
		s.count++
		if !s.options.Discard {
			s.taken = append(s.taken, mail)
		}
	}
	reply := fmt.Sprintf("250 2.0.0 Ok: queued as FAKE%d", s.count)
	if taken && s.options.Keyed {
		s.replays[key] = smtpReplay{string(mail.Data), recipients, reply}
	}
	return reply
}
