// Package bounce composes delivery status notifications (RFC 3464) and digests of them.
//
// A notification is a multipart/report (RFC 6522) of three parts: a text for people, fields for
// programs, and the header or the whole of the message.
package bounce

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"mailhatch/mime"
)

// Message composes the notification with CRLF line ends, ready to be submitted with the null sender to
// the sender of the message. None is due, and it returns nil, when the message has the null sender,
// was itself sent automatically (Auto-Submitted other than "no", Precedence bulk, junk or list), or
// none of the recipients asked for this action (NOTIFY). It fails only if the original cannot be read.
func (r *Report) Message() ([]byte, error) {
	fates := r.due()
	if len(fates) == 0 {
		return nil, nil
	}
	utf8 := !mime.IsASCII(r.Envelope.From)
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

func (r *Report) subject() string {
	s := map[Action]string{Failed: "Undelivered mail", Delayed: "Delayed mail", Relayed: "Relayed mail"}[r.Action]
	if subject := r.originalSubject(); subject != "" {
		s += ": " + subject
	}
	return s
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
	return len(id) > 2 && len(id) < 500 && id[0] == '<' && id[len(id)-1] == '>' && mime.IsASCII(id) && !strings.ContainsAny(id, " \t\r\n")
}
