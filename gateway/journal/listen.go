package journal

import "time"

// Event is what listeners hear of most events: those of mail and of upstreams, reloads and internal errors.
type Event struct {
	Name       string // as its line has it: accepted, sent, upstream_closed…
	ID         string // of the message
	Upstream   string
	Class      string // of the failure; why an upstream was closed; where an internal error was
	Error      string
	Recipients int
	Age        time.Duration // since the message was accepted
	Took       time.Duration // the offer to the upstream
	Action     string        // of an operator, where it was one's doing: delete, pause…
	By         string        // the operator
	Canary     bool          // it is about a mail that the gateway sent to see whether an upstream delivers
}

// Listen makes hear be called with each event that follows, by many goroutines at once: mail waits while it works,
// so it must return at once. Listen itself is called before the journal is used.
func (j *Journal) Listen(hear func(Event)) { j.listeners = append(j.listeners, hear) }

func (j *Journal) tell(e Event) {
	for _, hear := range j.listeners {
		hear(e)
	}
}

// text returns the text of an error that may be nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
