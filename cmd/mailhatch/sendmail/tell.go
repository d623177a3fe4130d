package sendmail

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/bounce"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// teller tells of recipients that are no addresses, once the others have the message: the exit code is 0, as with
// Postfix, for a caller that sees a failure sends the message again. As -oe says, the sender gets a
// notification or the caller reads it; by default both.
type teller struct {
	*Env
	places []config.SubmitPlace
	flags  *flags
	from   string // envelope sender
	header []byte // of the message
	bad    []malformed
}

// add adds an address in which only the gateway found a fault.
func (t *teller) add(r submit.Refused) {
	t.bad = append(t.bad, malformed{r.Address, fmt.Errorf("<%s>: %w", r.Address, r.Reply)})
}

func (t *teller) tell(ctx context.Context) {
	if len(t.bad) == 0 {
		return
	}
	toMail, toRead := true, true
	switch t.flags.onError {
	case 'p': // print
		toMail = false
	case 'm', 'w', 'e': // mail back; write to the terminal is out of use
		toRead = false
	case 'q':
		return
	}
	var err error
	if toMail {
		err = t.bounce(ctx)
	}
	if toRead || err != nil {
		for _, b := range t.bad {
			fmt.Fprintf(t.Stderr, "sendmail: %v; the message goes to the other recipients\n", terminal.Plain(b.err.Error()))
		}
	}
	if err != nil {
		fmt.Fprintf(t.Stderr, "sendmail: no notification of that was sent: %v\n", err)
	}
}

// bounce sends the notification; none is due where nobody wants one.
func (t *teller) bounce(ctx context.Context) error {
	original, err := mime.Parse(mime.NewBytesSource(t.header))
	if err != nil {
		return err
	}
	r := bounce.Report{Action: bounce.Failed, Hostname: submit.Hostname(), At: time.Now(), Original: original,
		Envelope: envelope.Envelope{From: t.from, EnvID: t.flags.envID, Received: time.Now()}}
	for _, b := range t.bad {
		r.Fates = append(r.Fates, bounce.Fate{Recipient: envelope.Recipient{Address: clip(b.text), Notify: t.flags.notify},
			Status: "5.1.3", Text: b.err.Error(), Last: time.Now()}) // RFC 3463: bad destination mailbox address syntax
	}
	msg, err := r.Message()
	if err != nil || msg == nil {
		return err
	}
	m := &submit.Spool{}
	defer m.Close()
	if _, err := m.Write(msg); err != nil {
		return err
	}
	env := &envelope.Envelope{To: []envelope.Recipient{{Address: t.from, Notify: []string{"NEVER"}}}}
	refused, err := t.handOver(ctx, t.places, env, m, false)
	if len(refused) > 0 {
		err = refused[0].Reply
	}
	return err
}

// clip shortens what was taken for an address.
func clip(s string) string {
	const longest = 200 // bytes
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}
