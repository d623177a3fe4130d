// Package load is an SMTP client that sends numbered messages in many sessions.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/latency"
	"mailhatch/cmd/mailbench/message"
)

// Load is what to send. It ends at Messages or after Duration, whichever comes first; one of the two
// must be set.
type Load struct {
	Addr          string        // of the server
	Sessions      int           // connections at once
	Messages      int           // 0: no limit
	Duration      time.Duration // 0: no limit; no message is begun after it
	Size          int           // bytes of a message, header included
	Recipients    int           // of each message
	PerConnection int           // messages of one connection; 0: all of a session
	Pipelining    bool          // MAIL, RCPT and DATA in one write
	Rate          float64       // messages/s to begin, however long answers take; 0: as fast as answers come
	Timeout       time.Duration // of one message
	Run           string        // eight characters that begin each id; "": random
}

// Result is what came of a load. Its times begin with the first connection.
type Result struct {
	Run              string          `json:"run"`
	Began            time.Time       `json:"began"`
	Accepted         int             `json:"accepted"`
	RefusedTemporary int             `json:"refused_temporary"` // 4xx
	RefusedPermanent int             `json:"refused_permanent"` // 5xx
	Broken           int             `json:"broken"`            // no answer: connection refused, lost or timed out
	Connections      int             `json:"connections"`
	Seconds          float64         `json:"seconds"` // to the last answer
	PerSecond        float64         `json:"accepted_per_s"`
	Latency          latency.Summary `json:"mail_to_250"`
	Problems         map[string]int  `json:"problems,omitempty"` // what was answered instead of 250, how often

	took []time.Duration
}

const (
	maxProblems = 20 // kinds of refusal kept; further ones are counted as "other"
	MaxBroken   = 5  // connections lost in a row after which a session gives up
)

// Send runs the load. Refusals are no error, they are in the result; it is an error when sessions gave
// up because the server could not be reached, or when ctx ended. The result holds in every case.
func (l Load) Send(ctx context.Context) (*Result, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	if l.Run == "" {
		l.Run = fmt.Sprintf("%08x", rand.Uint32())
	}
	to := make([]string, l.Recipients)
	for i := range to {
		to[i] = fmt.Sprintf("r%d@sink.example", i+1)
	}
	t, err := message.New(Sender, to, l.Size)
	if err != nil {
		return nil, err
	}
	sched := NewSchedule(l)
	results := make([]*Result, l.Sessions)
	errs := make([]error, l.Sessions)
	var wg sync.WaitGroup
	for i := range l.Sessions {
		s := &session{load: l, template: t.Clone(), to: to, schedule: sched, result: NewResult(l.Run)}
		results[i] = s.result
		wg.Go(func() { errs[i] = s.run(ctx) })
	}
	wg.Wait()
	total := Merge(l.Run, results, time.Since(sched.Start))
	total.Began = sched.Start
	return total, errors.Join(append(Dedupe(errs), ctx.Err())...)
}

const Sender = "load@mailbench.example"

func (l Load) check() error {
	switch {
	case l.Sessions < 1 || l.Sessions > 10000:
		return fmt.Errorf("sessions must be 1 to 10000, not %d", l.Sessions)
	case l.Recipients < 1 || l.Recipients > 10000:
		return fmt.Errorf("recipients must be 1 to 10000, not %d", l.Recipients)
	case l.Messages < 0 || l.Duration < 0 || l.Messages == 0 && l.Duration == 0:
		return errors.New("a load needs a number of messages or a duration")
	case l.Run != "" && (len(l.Run) != 8 || message.IDPrefix([]byte(l.Run)) != l.Run):
		return fmt.Errorf("run must be eight letters and digits, not %q", l.Run)
	case l.Timeout <= 0 || l.Rate < 0 || l.PerConnection < 0:
		return errors.New("timeout must be above 0, rate and messages per connection not below")
	}
	return host.RequireLoopback(l.Addr)
}

func NewResult(run string) *Result {
	return &Result{Run: run, Problems: map[string]int{}}
}

// Merge adds up the sessions' results.
func Merge(run string, results []*Result, took time.Duration) *Result {
	total := NewResult(run)
	for _, r := range results {
		total.Accepted += r.Accepted
		total.RefusedTemporary += r.RefusedTemporary
		total.RefusedPermanent += r.RefusedPermanent
		total.Broken += r.Broken
		total.Connections += r.Connections
		total.took = append(total.took, r.took...)
		for what, n := range r.Problems {
			total.problem(what, n)
		}
	}
	total.Latency = latency.Summarize(total.took)
	total.Seconds = took.Seconds()
	total.PerSecond = float64(total.Accepted) / total.Seconds
	return total
}

// Record files the outcome of one message and says whether the connection is over.
func (r *Result) Record(err error, took time.Duration) (over bool) {
	if err == nil {
		r.Accepted++
		r.took = append(r.took, took)
		return false
	}
	r.problem(problemText(err), 1)
	var reply *replyError
	if !errors.As(err, &reply) {
		r.Broken++
		return true
	}
	if reply.Code >= 500 {
		r.RefusedPermanent++
	} else {
		r.RefusedTemporary++
	}
	return reply.Over
}

func (r *Result) problem(what string, n int) {
	if _, known := r.Problems[what]; !known && len(r.Problems) >= maxProblems {
		what = "other"
	}
	r.Problems[what] += n
}

// Lost counts the messages that were not accepted.
func (r *Result) Lost() int { return r.RefusedTemporary + r.RefusedPermanent + r.Broken }

// problemText is the error without what differs from message to message (ports, queue ids behind the
// first words), so that equal problems are counted together.
func problemText(err error) string {
	var reply *replyError
	if errors.As(err, &reply) {
		text := reply.Error()
		return text[:min(len(text), 100)]
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return "connection: " + text[:min(len(text), 100)]
}

// Dedupe drops nil and repeated errors, which 64 sessions of one dead server would give.
func Dedupe(errs []error) []error {
	var kept []error
	seen := map[string]bool{}
	for _, err := range errs {
		if err != nil && !seen[problemText(err)] {
			seen[problemText(err)] = true
			kept = append(kept, err)
		}
	}
	return kept
}
