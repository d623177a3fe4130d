// Package bounce composes delivery status notifications (RFC 3464) and digests of them.
//
// A notification is a multipart/report (RFC 6522) of three parts: a text for people, fields for
// programs, and the header or the whole of the message.
package bounce

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Action is what a notification reports (RFC 3464 2.3.3).
type Action string

// The actions that mailhatch reports.
const (
	Failed  Action = "failed"
	Delayed Action = "delayed"
	Relayed Action = "relayed" // NOTIFY=SUCCESS and the upstream sends no notifications of its own
)

// Report is a notification of the sender of a message.
type Report struct {
	Action   Action
	ID       string            // queue id of the message
	Hostname string            // of the gateway
	At       time.Time         // now
	Until    time.Time         // Delayed: when delivery will be given up
	Envelope envelope.Envelope // of the message
	Original *mime.Message
	Fates    []Fate // recipients that share this report, at least one
}

// Fate is what became of one recipient.
type Fate struct {
	Recipient envelope.Recipient
	Status    string    // RFC 3463: "5.1.1"
	Upstream  string    // name of the upstream, "" when none was asked
	Text      string    // the provider's reply, or the gateway's own reason
	Code      int       // SMTP reply code or HTTP status, 0: none
	SMTP      bool      // Code is an SMTP reply code
	Last      time.Time // of the last attempt
}

// Message composes the notification with CRLF line ends, ready to be submitted with the null sender to
// the sender of the message. None is due, and it returns nil, when the message has the null sender,
// was itself sent automatically (Auto-Submitted other than "no", Precedence bulk, junk or list), or
// none of the recipients asked for this action (NOTIFY). Errors are those of reading the original.
func (r *Report) Message() ([]byte, error) {
	fates := r.due()
	if len(fates) == 0 {
		return nil, nil
	}
	utf8 := !isASCII(r.Envelope.From)
	original, err := r.original(utf8)
	if err != nil {
		return nil, fmt.Errorf("bounce: reading the message: %w", err)
	}
	status := part{kind: "message/delivery-status", content: r.deliveryStatus(fates, utf8)}
	if utf8 {
		status.kind, status.encoding = "message/global-delivery-status", "8bit"
	}
	parts := []part{{kind: "text/plain; charset=utf-8", about: "Notification", encoding: "quoted-printable", content: r.text(fates)},
		status}
	if original != nil {
		parts = append(parts, *original)
	}
	return writeReport(r.header(rand.Text(), utf8), parts)
}

// due returns the fates of which the sender wants to be notified.
func (r *Report) due() []Fate {
	if r.Envelope.From == "" || r.automatic() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Fates), func(f Fate) bool { return !r.Action.wanted(f.Recipient.Notify) })
}

// automatic reports whether no program should answer the message (RFC 3834 2).
func (r *Report) automatic() bool {
	if r.Original == nil {
		return false
	}
	for _, v := range r.Original.Header.Values("Auto-Submitted") {
		if keyword, _, _ := strings.Cut(v, ";"); !strings.EqualFold(strings.TrimSpace(keyword), "no") {
			return true
		}
	}
	for _, v := range r.Original.Header.Values("Precedence") {
		switch strings.ToLower(v) {
		case "bulk", "junk", "list":
			return true
		}
	}
	return false
}

// wanted reports whether NOTIFY (RFC 3461 4.1) asks for an action: without it, failures and delays are reported.
func (a Action) wanted(notify []string) bool {
	if len(notify) == 0 {
		return a == Failed || a == Delayed
	}
	word := map[Action]string{Failed: "FAILURE", Delayed: "DELAY", Relayed: "SUCCESS"}[a]
	return slices.ContainsFunc(notify, func(n string) bool { return strings.EqualFold(n, word) })
}

// header returns the notification's own header.
func (r *Report) header(boundary string, utf8 bool) fields {
	h := ownHeader(r.Hostname, r.Envelope.From, r.subject(), r.At, utf8)
	if r.Original != nil && isMessageID(r.Original.MessageID) {
		h.add("In-Reply-To", r.Original.MessageID)
		h.add("References", r.references())
	}
	h.add("Auto-Submitted", "auto-replied") // RFC 3834 5: no other program answers to it
	h.add("MIME-Version", "1.0")
	h.add("Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	return h
}

// ownHeader returns the first fields of a notification.
func ownHeader(hostname, to, subject string, now time.Time, utf8 bool) fields {
	h := fields{utf8: utf8}
	h.add("Date", now.Format(time.RFC1123Z))
	h.add("From", "Mail Delivery System <MAILER-DAEMON@"+hostname+">")
	h.add("To", "<"+printable(to)+">")
	h.add("Subject", subject)
	h.add("Message-ID", "<"+rand.Text()+"@"+hostname+">")
	return h
}

const maxSubject = 200 // characters of the original subject that the notification repeats

func (r *Report) subject() string {
	s := map[Action]string{Failed: "Undelivered mail", Delayed: "Delayed mail", Relayed: "Relayed mail"}[r.Action]
	if subject := r.originalSubject(); subject != "" {
		s += ": " + subject
	}
	return s
}

func (r *Report) originalSubject() string {
	if r.Original == nil {
		return ""
	}
	return clip(printable(r.Original.Subject), maxSubject)
}

const maxReferences = 20 // message ids; RFC 5322 3.6.4 names no limit, the first and the last ones matter

// references continues the original's thread (RFC 5322 3.6.4).
func (r *Report) references() string {
	var ids []string
	for _, v := range r.Original.Header.Values("References") {
		for _, id := range strings.Fields(v) {
			if isMessageID(id) && id != r.Original.MessageID {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) > maxReferences {
		ids = append(ids[:1], ids[len(ids)-maxReferences+1:]...)
	}
	return strings.Join(append(ids, r.Original.MessageID), " ")
}

// isMessageID reports whether id can stand in a References field as it is.
func isMessageID(id string) bool {
	return len(id) > 2 && len(id) < 500 && id[0] == '<' && id[len(id)-1] == '>' && isASCII(id) && !strings.ContainsAny(id, " \t\r\n")
}
