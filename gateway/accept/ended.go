package accept

import (
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// kept returns what Commit stores: parts, what became of others, and the recipients whose alias leads to no
// address. Mail for /dev/null is on record, and which rules changed the message.
func (in *incoming) kept(parts []queue.Part, done []queue.Record) queue.Accepted {
	kept := queue.Accepted{Envelope: in.env, Header: in.summary(), Parts: parts, Done: done}
	if len(in.rewritten) > 0 {
		kept.Events = []queue.Event{{At: in.env.Received, Kind: queue.EventRewritten, Rule: strings.Join(in.rewritten, ", ")}}
	}
	for i := range in.ended {
		e := &in.ended[i]
		to := []envelope.Recipient{e.Recipient}
		kept.Envelope.To = append(kept.Envelope.To, e.Recipient)
		switch e.State {
		case envelope.Discarded:
			kept.Done = append(kept.Done, queue.Record{Recipient: e.Recipient, State: envelope.Discarded, Error: e.Why})
		case envelope.Held:
			kept.Parts = append(kept.Parts, queue.Part{To: to, State: envelope.Held, Progress: envelope.Progress{Error: e.Why}})
		default: // others have the message: the sender gets a notification
			r := e.Reply()
			kept.Parts = append(kept.Parts, queue.Part{To: to, State: envelope.Queued, Progress: envelope.Progress{Refused: true,
				Class: upstream.Permanent.String(), Status: r.Code, Enhanced: r.Status(), Error: r.Text}})
		}
	}
	return kept
}

// endings logs recipients whose alias leads to no address; of those refused delivery tells.
func (a *Acceptor) endings(in *incoming) {
	for _, e := range in.ended {
		event := journal.Attempt{ID: in.id, MessageID: in.msg.MessageID, From: in.env.From, To: []string{e.Recipient.Address}, Error: e.Why}
		switch e.State {
		case envelope.Discarded:
			a.Journal.Discarded(event)
		case envelope.Held:
			a.Journal.Held(event)
		}
	}
}
