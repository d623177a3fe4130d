package smtp

import (
	"errors"
	"fmt"
	"slices"

	"mailhatch/upstream"
)

// errOutOfStep is a relay that gave one reply too many or too few: none of them can be trusted to be about the
// command, and the recipient, that it seems to answer. What follows from it:
//
//   - a connection on which something waits to be read gets no other command ([conn.spoke]);
//   - a reply must be one that its command can have (Fits); 354 is given to DATA alone, so that with it all
//     replies before it are in their places;
//   - without 354 a refusal counts for good only when the next command gets a reply of its own (confirm, refusal).
var errOutOfStep = errors.New("the replies of the relay are out of step with the commands")

// reopen takes all outcomes of the transaction back.
func (t *transaction) reopen() {
	for _, i := range t.rcpts {
		t.job.out[i], t.job.settled[i] = upstream.Outcome{}, false
	}
}

// confirm ends a transaction in which nothing was sent, and finds out whether its refusals are about what they
// seem to be about: with one reply too many before them, the next command would get a reply that is not its
// own. After DATA, whose reply never is 250, RSET shows it and the connection can be used again; else QUIT does.
func (t *transaction) confirm() error {
	command, want := "RSET", 250
	if !t.asked && t.isFinal() {
		command, want = "QUIT", 221
	}
	r, err := t.conn.ask(command, min(t.relay.timeout, resetTimeout))
	t.conn.broken = err != nil || r.Code != 250
	if err == nil && r.Code != want && r.Code != 421 {
		t.reopen()
		return fmt.Errorf("%w: %d to %s", errOutOfStep, r.Code, command)
	}
	return nil
}

// isFinal reports whether some outcome is more than a reason to try again.
func (t *transaction) isFinal() bool {
	return slices.ContainsFunc(t.rcpts, func(i int) bool {
		e, ok := errors.AsType[*upstream.Error](t.job.out[i].Err)
		return ok && e.Class != upstream.Temporary && e.Class != upstream.Throttled
	})
}
