package sendmail

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
)

// listing is a queue as sendmail and Postfix list theirs, so that programs that read either find what they look for: the
// first line and "Total requests" are sendmail's, the last line is Postfix's.
type listing struct {
	out   io.Writer
	host  string
	count int
	bytes int64
}

// head begins the listing of count messages. An empty queue has none.
func (l *listing) head() {
	if l.count == 0 {
		return
	}
	fmt.Fprintf(l.out, "\t\tmqueue of %s (%s)\n", terminal.Plain(cmp.Or(l.host, "a stopped gateway")), terminal.Count(l.count, "request"))
	fmt.Fprintln(l.out, "-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------")
}

// message lists a message; * is one that is being offered, ! one that is held.
func (l *listing) message(m *api.Message) {
	fmt.Fprintf(l.out, "%-14s %8d %s <%s>\n", m.ID+mark(m), m.Size, m.Envelope.Received.Local().Format("Mon Jan _2 15:04"), terminal.Plain(m.Envelope.From))
	for i := range m.Parts {
		p := &m.Parts[i]
		if p.State == envelope.Failed {
			continue
		}
		why := cmp.Or(p.Why, string(p.State))
		if p.Progress.Error != "" && !strings.Contains(why, strings.TrimSuffix(p.Progress.Error, ".")) {
			why += "; last error: " + p.Progress.Error
		}
		fmt.Fprintf(l.out, "%17s(%s)\n", "", terminal.Plain(terminal.Clip(why, 300)))
		for _, to := range p.To {
			fmt.Fprintf(l.out, "%40s <%s>\n", "", terminal.Plain(to.Address))
		}
	}
}

// foot ends it.
func (l *listing) foot() {
	if l.count == 0 {
		fmt.Fprintln(l.out, "Mail queue is empty")
		return
	}
	noun := "Requests"
	if l.count == 1 {
		noun = "Request"
	}
	fmt.Fprintf(l.out, "\t\tTotal requests: %d\n-- %d Kbytes in %d %s.\n", l.count, (l.bytes+1023)/1024, l.count, noun)
}

func mark(m *api.Message) string {
	sign := ""
	for i := range m.Parts {
		switch {
		case m.Parts[i].WhyCode == waiting.InFlight:
			return "*"
		case m.Parts[i].State == envelope.Held:
			sign = "!"
		}
	}
	return sign
}

// maxCounted is how many messages are counted before they are listed; of more, groups of recipients stand in the first line.
const maxCounted = 10_000

// countMessages returns how many messages wait.
func countMessages(ctx context.Context, view api.View, s *api.Status) (n int, err error) {
	if s.Maildrop != nil {
		n = s.Maildrop.Messages
	}
	if parts := s.Queue[envelope.Queued].Parts + s.Queue[envelope.Held].Parts; parts > maxCounted {
		return n + parts, nil
	}
	n = 0
	return n, eachWaiting(ctx, view, func(*api.Message) { n++ })
}

// eachWaiting calls visit for each message that waits. Mail that was given up does not, though it is kept for a while.
func eachWaiting(ctx context.Context, view api.View, visit func(m *api.Message)) error {
	for f := (api.Filter{}); ; {
		p, err := view.List(ctx, f)
		if err != nil {
			return err
		}
		for _, list := range [][]api.Message{p.Maildrop, p.Messages} {
			for i := range list {
				if waits(&list[i]) {
					visit(&list[i])
				}
			}
		}
		if f.After = p.Next; p.Next == "" {
			return nil
		}
	}
}

func waits(m *api.Message) bool {
	for i := range m.Parts {
		if m.Parts[i].State != envelope.Failed {
			return true
		}
	}
	return false
}
