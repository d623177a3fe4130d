package bounce

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// text explains to a person what happened, to whom, why, and what can be done.
func (r *Report) text(fates []Fate) []byte {
	var w strings.Builder
	fmt.Fprintf(&w, "This is the mail system at %s.\n\n", printable(r.Hostname))
	w.WriteString(r.opening(len(fates)))
	w.WriteString("\n")
	r.aboutMessage(&w)
	for _, f := range fates {
		r.aboutRecipient(&w, f)
	}
	if advice := r.advice(fates); len(advice) > 0 {
		w.WriteString("\n" + strings.Join(advice, "\n") + "\n")
	}
	fmt.Fprintf(&w, "\nWhoever runs this mail system finds the message by its queue id, %s\n(mailhatch log --id %[1]s).\n", r.ID)
	return []byte(strings.ReplaceAll(w.String(), "\n", "\r\n"))
}

func (r *Report) opening(n int) string {
	whom := "one recipient"
	if n > 1 {
		whom = strconv.Itoa(n) + " recipients"
	}
	switch r.Action {
	case Delayed:
		s := "Your message to " + whom + " has not been delivered yet.\nYou need not send it again: "
		if r.Until.IsZero() {
			return s + "it will be tried further.\n"
		}
		return s + "it will be tried further until\n" + day(r.Until) + ".\n"
	case Relayed:
		return "Your message to " + whom + " was handed over to the next mail system,\n" +
			"which may not report its delivery.\n"
	}
	if r.Late {
		return "Your message to " + whom + " was sent, but the mail provider reports that\nit did not arrive. It will not be tried again.\n"
	}
	return "Your message to " + whom + " could not be delivered and will not be\ntried again.\n"
}

func (r *Report) aboutMessage(w *strings.Builder) {
	if s := r.originalSubject(); s != "" {
		fmt.Fprintf(w, "  Subject:    %s\n", s)
	}
	if r.Original != nil && r.Original.MessageID != "" {
		fmt.Fprintf(w, "  Message-ID: %s\n", clip(printable(r.Original.MessageID), maxSubject))
	}
	if !r.Envelope.Received.IsZero() {
		fmt.Fprintf(w, "  Received:   %s\n", day(r.Envelope.Received))
	}
}

func day(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04 -0700") }

func (r *Report) aboutRecipient(w *strings.Builder, f Fate) {
	fmt.Fprintf(w, "\n<%s>", printable(f.Recipient.Address))
	if given := printable(f.Recipient.Given); given != "" && given != f.Recipient.Address {
		fmt.Fprintf(w, " (sent to %s)", given)
	}
	w.WriteString("\n")
	words := clip(printable(f.Text), maxDiagnostic)
	switch {
	case r.Action == Relayed:
		fmt.Fprintf(w, "  Taken by %q.\n", f.Upstream)
	case words == "":
		w.WriteString("  No reason was given.\n")
	case f.Upstream != "" && (f.Code != 0 || r.Late):
		fmt.Fprintf(w, "  The mail provider (%s) answered:\n    %s\n", printable(f.Upstream), words)
	default:
		fmt.Fprintf(w, "  %s\n", words)
	}
}

// advice returns what can be done, each thing once.
func (r *Report) advice(fates []Fate) []string {
	if r.Action != Failed {
		return nil
	}
	var list []string
	seen := map[string]bool{}
	for _, f := range fates {
		if a := adviceFor(r.status(f)); !seen[a] {
			seen[a] = true
			list = append(list, a)
		}
	}
	return list
}

// adviceFor returns what can be done about an RFC 3463 code.
func adviceFor(status string) string {
	for _, a := range []struct{ prefix, words string }{
		{"5.1.8", "The sender's address was refused: ask the administrator of this mail system."},
		{"5.1.7", "The sender's address was refused: ask the administrator of this mail system."},
		{"5.1.", "Check the address for mistakes; it may no longer exist."},
		{"5.2.2", "The mailbox is full: try again later or reach the recipient in another way."},
		{"5.2.3", "The message is too large: send less, or a link instead of an attachment."},
		{"5.2.", "The mailbox does not take mail: reach the recipient in another way."},
		{"5.3.4", "The message is too large: send less, or a link instead of an attachment."},
		{"5.6.", "The message has a form that could not be forwarded: send it in a simpler one."},
		{"5.7.", "The message was refused by a policy: ask the administrator of this mail system."},
		{"4.", "It was tried for as long as the settings allow. Send it again later, or ask\nthe administrator of this mail system."},
	} {
		if strings.HasPrefix(status, a.prefix) {
			return a.words
		}
	}
	return "The reason above comes from the mail system that refused the message."
}
