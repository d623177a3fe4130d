// Package bounce composes delivery status notifications (RFC 3464).
//
// A notification is a multipart/report (RFC 6522) of three parts: words for people, fields for
// programs, and the header or the whole of the message. go-mail's Msg knows no multipart/report, so
// the parts are put together here.
package bounce

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// Action is what a notification tells (RFC 3464 2.3.3).
type Action string

// The actions that mailhatch reports.
const (
	Failed  Action = "failed"
	Delayed Action = "delayed"
	Relayed Action = "relayed" // NOTIFY=SUCCESS and the upstream gives no notifications of its own
)

// Report is what the sender of a message must know.
type Report struct {
	Action   Action
	ID       string            // queue id of the message
	Hostname string            // ours
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
	Words     string    // the provider's own words or ours
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
	parts := []part{{kind: "text/plain; charset=utf-8", about: "Notification", encoding: "quoted-printable", content: r.words(fates)},
		status}
	if original != nil {
		parts = append(parts, *original)
	}
	boundary := rand.Text()
	var out bytes.Buffer
	out.Write(r.header(boundary, utf8))
	if slices.ContainsFunc(parts, func(p part) bool { return p.encoding == "8bit" }) {
		out.WriteString("Content-Transfer-Encoding: 8bit\r\n") // RFC 2045 6.4
	}
	out.WriteString("\r\n")
	if err := writeParts(&out, boundary, parts); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// due gives the fates that their sender wants to hear of.
func (r *Report) due() []Fate {
	if r.Envelope.From == "" || r.automatic() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Fates), func(f Fate) bool { return !r.Action.wanted(f.Recipient.Notify) })
}

// automatic tells mail that no program should answer (RFC 3834 2).
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

// wanted reads NOTIFY (RFC 3461 4.1): without one, failures and delays are told.
func (a Action) wanted(notify []string) bool {
	if len(notify) == 0 {
		return a == Failed || a == Delayed
	}
	word := map[Action]string{Failed: "FAILURE", Delayed: "DELAY", Relayed: "SUCCESS"}[a]
	return slices.ContainsFunc(notify, func(n string) bool { return strings.EqualFold(n, word) })
}

// header gives the notification's own header, without the empty line. RFC 3834 5 asks for
// Auto-Submitted: no other program answers to it.
func (r *Report) header(boundary string, utf8 bool) []byte {
	h := fields{utf8: utf8}
	h.add("Date", r.At.Format(time.RFC1123Z))
	h.add("From", "Mail Delivery System <MAILER-DAEMON@"+r.Hostname+">")
	h.add("To", "<"+printable(r.Envelope.From)+">")
	h.add("Subject", r.subject())
	h.add("Message-ID", "<"+rand.Text()+"@"+r.Hostname+">")
	if r.Original != nil && isMessageID(r.Original.MessageID) {
		h.add("In-Reply-To", r.Original.MessageID)
		h.add("References", r.references())
	}
	h.add("Auto-Submitted", "auto-replied")
	h.add("MIME-Version", "1.0")
	h.add("Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	return h.raw
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

// isMessageID tells what can stand in a References field as it is.
func isMessageID(id string) bool {
	return len(id) > 2 && len(id) < 500 && id[0] == '<' && id[len(id)-1] == '>' && isASCII(id) && !strings.ContainsAny(id, " \t\r\n")
}
