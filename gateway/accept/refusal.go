package accept

import (
	"bytes"

	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// Refusal is why a message was not accepted, with what is known of it.
type Refusal struct {
	Err      error         // a *envelope.Reply, or the failure of the body
	Header   queue.Summary // as far as it was read
	OnRecord bool          // the history has it already
}

// Error returns the words of the reply.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the reply.
func (r *Refusal) Unwrap() error { return r.Err }

// refusal returns a refusal of the message.
func (in *incoming) refusal(err error) *Refusal {
	r := &Refusal{Err: err}
	switch {
	case in.msg != nil:
		r.Header = in.summary()
	case in.raw != nil:
		if msg, err := mime.Parse(bytes.NewReader(in.raw)); err == nil {
			r.Header = summary(msg)
		}
	}
	return r
}

func (in *incoming) summary() queue.Summary { return summary(in.msg) }

func summary(m *mime.Message) queue.Summary {
	s := queue.Summary{MessageID: m.MessageID, Subject: m.Subject}
	if len(m.From) > 0 {
		s.From = m.From[0].String()
	}
	return s
}
