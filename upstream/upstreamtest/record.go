package upstreamtest

import (
	"net/http"
	"time"
)

// Message is a mail that a fake took, read without any of mailhatch's own code.
type Message struct {
	Provider       string // "resend", "sendgrid", "mailgun"
	ID             string // that the fake gave
	From           string // as in the request: a mailbox
	To, Cc, Bcc    []string
	Apart          bool              // each of To gets a mail of its own, without Cc and Bcc
	Recipients     []string          // everyone who gets the mail: addresses in lower case, in the request's order
	Refused        map[string]string // addresses that were not taken with the others, and why
	ReplyTo        []string
	Subject        string
	Text, HTML     string
	Alternatives   []Alternative // bodies beyond text and HTML
	Attachments    []Attachment
	Headers        map[string]string // names as given; for Mailgun those of the message
	Options        map[string]string // tags, custom arguments, o: and v: fields…
	IdempotencyKey string
	RequestHeader  http.Header // without Authorization
	Raw            []byte      // the request body, or the message as it is
	Whole          bool        // Raw is the message
}

// Alternative is a body that is neither text nor HTML.
type Alternative struct{ Type, Value string }

// Attachment is a file.
type Attachment struct {
	Name, Type, ContentID string
	Inline                bool
	Data                  []byte
}

// Drop is where a fake breaks the connection.
type Drop int

const (
	DropNever      Drop = iota
	DropBeforeBody      // after the request's header, before its body is read
	DropDuringBody      // after some of its body
	DropAfterBody       // when the request is there whole; the mail is not taken
	DropReply           // the mail is taken, its answer is lost
	DropHalfReply       // the mail is taken, its answer breaks off
	DropRest            // the answer, which has a Status, comes before the body is read
	HoldReply           // the mail is taken and the connection stays, without an answer
)

// Fault is what becomes of one request instead of an answer by the rules. The zero Fault is none.
type Fault struct {
	Status int         // answer with this status; 0: by the rules
	Header http.Header // of that answer
	Body   string      // of that answer
	Drop   Drop
	Delay  time.Duration // before anything is read
	Accept bool          // with Status: the mail is taken nonetheless
}

// Times repeats a fault.
func Times(n int, f Fault) []Fault {
	out := make([]Fault, n)
	for i := range out {
		out[i] = f
	}
	return out
}
