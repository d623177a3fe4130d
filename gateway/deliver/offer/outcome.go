package offer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/glob"
	"mailhatch/upstream"
)

// Send returns the outcome of each recipient of one call. A panic of the upstream's code is an outcome of
// that mail, not the end of the program.
func Send(ctx context.Context, u upstream.Upstream, m *upstream.Mail) (out []upstream.Outcome) {
	defer func() {
		if r := recover(); r != nil {
			err := &upstream.Error{Class: upstream.Uncertain, Err: fmt.Errorf("the upstream's code panicked: %v", r)}
			out = Repeat(upstream.Outcome{Err: err}, len(m.To))
		}
	}()
	out = u.Send(ctx, m)
	if len(out) == 0 {
		out = []upstream.Outcome{{Err: errors.New("the upstream returned no outcome")}}
	}
	return append(out, Repeat(upstream.Outcome{Err: out[0].Err}, len(m.To)-len(out))...)
}

// Throttled makes upstream.Throttled what the operator knows by its words to mean that we are too fast (throttle_on),
// whatever it would mean otherwise. What may have been taken stays uncertain.
func Throttled(outcomes []upstream.Outcome, patterns []string) []upstream.Outcome {
	if len(patterns) == 0 {
		return outcomes
	}
	known := map[*upstream.Error]*upstream.Error{} // recipients of one call share its error
	for i, o := range outcomes {
		e := Failure(o.Err)
		if e == nil || e.Class == upstream.Uncertain || e.Class == upstream.Throttled {
			continue
		}
		text := strings.ToLower(envelope.ErrorText(e))
		if !slices.ContainsFunc(patterns, func(p string) bool { return glob.Match(strings.ToLower(p), text) }) {
			continue
		}
		if known[e] == nil {
			known[e] = &upstream.Error{Class: upstream.Throttled, Status: e.Status, Code: e.Code, RetryAfter: e.RetryAfter, Err: e.Err}
		}
		outcomes[i].Err = known[e]
	}
	return outcomes
}

// Repeat returns n times the same outcome; none where n is negative.
func Repeat(o upstream.Outcome, n int) []upstream.Outcome {
	return slices.Repeat([]upstream.Outcome{o}, max(n, 0))
}

// Failure returns the classified form of an outcome's error; nil for success.
func Failure(err error) *upstream.Error {
	if err == nil {
		return nil
	}
	var e *upstream.Error
	if errors.As(err, &e) {
		return e
	}
	return &upstream.Error{Class: upstream.Temporary, Err: err}
}

// Class names the class of an outcome's error, for journals: "sent" for success.
func Class(err error) string {
	if e := Failure(err); e != nil {
		return e.Class.String()
	}
	return "sent"
}

// Worst returns the error that a gate should learn from: nil when any recipient was taken, unless an API that
// needed several calls answered a later one with 429.
func Worst(outcomes []upstream.Outcome) error {
	var worst error
	taken := false
	for _, o := range outcomes {
		e := Failure(o.Err)
		switch {
		case e == nil:
			taken = true
		case e.Class == upstream.Throttled && e.Status == http.StatusTooManyRequests:
			return o.Err
		case worst == nil || e.Class == upstream.Throttled || e.Class == upstream.Account:
			worst = o.Err
		}
	}
	if taken {
		return nil
	}
	return worst
}

// Treatment is how recipients are treated by the rule that they came by.
type Treatment struct {
	Rule      int
	OnFailure string
}

// Groups lists the indexes of outcomes that are alike and whose recipients are treated alike. repeats reports that the
// provider must recognise the next offer as a repetition of the one that ended so.
func Groups(outcomes []upstream.Outcome, treatments []Treatment, repeats func(*upstream.Error) bool) [][]int {
	type key struct {
		Treatment
		id, err string
		call    *upstream.Error
		notify  bool
	}
	index := map[key]int{}
	var all [][]int
	for i, t := range treatments {
		k := key{Treatment: t, id: outcomes[i].ID, notify: outcomes[i].Notifies}
		if e := Failure(outcomes[i].Err); e != nil {
			k.err = fmt.Sprint(e.Class, e.Status)
			switch {
			case e.Class == upstream.Permanent: // the provider's reply may name the recipient
				k.err = fmt.Sprint(e.Class, e.Status, e.Code, outcomes[i].Err)
			case repeats(e):
				// Recipients of one call share its error, and stay together whatever rules they come by:
				// only the same recipients have the same key.
				k = key{call: e}
			}
		}
		n, ok := index[k]
		if !ok {
			n = len(all)
			index[k] = n
			all = append(all, nil)
		}
		all[n] = append(all[n], i)
	}
	return all
}
