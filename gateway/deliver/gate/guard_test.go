package gate

import (
	"errors"
	"fmt"
	"testing"

	"mailhatch/upstream"
)

// TestGuard: what 20 refusals in a row mean depends on whom they were about.
func TestGuard(t *testing.T) {
	refused := func() upstream.Outcome {
		return upstream.Outcome{Err: &upstream.Error{Class: upstream.Permanent, Status: 550, Code: "5.7.1", Err: errors.New("no")}}
	}
	for _, c := range []struct {
		name  string
		mails int
		offer func(n int) (id string, to []string, out upstream.Outcome) // n counts from 1
		want  string                                                     // classes of the last offer
	}{
		{"different recipients", 20, func(n int) (string, []string, upstream.Outcome) {
			return fmt.Sprint(n), []string{fmt.Sprint(n)}, refused()
		}, "account"},
		{"one less", 19, func(n int) (string, []string, upstream.Outcome) {
			return fmt.Sprint(n), []string{fmt.Sprint(n)}, refused()
		}, "permanent"},
		{"one was taken", 25, func(n int) (string, []string, upstream.Outcome) {
			if n == 10 {
				return "10", []string{"10"}, upstream.Outcome{}
			}
			return fmt.Sprint(n), []string{fmt.Sprint(n)}, refused()
		}, "permanent"},
		{"others were busy", 25, func(n int) (string, []string, upstream.Outcome) {
			if n == 10 {
				return "10", []string{"10"}, upstream.Outcome{Err: errors.New("busy")}
			}
			return fmt.Sprint(n), []string{fmt.Sprint(n)}, refused()
		}, "account"},
		{"always the same recipient", 50, func(n int) (string, []string, upstream.Outcome) {
			return fmt.Sprint(n), []string{"same"}, refused()
		}, "permanent"},
		{"one message, to each by itself", 50, func(n int) (string, []string, upstream.Outcome) {
			return "1", []string{fmt.Sprint(n)}, refused()
		}, "permanent"},
		{"calls that are refused as a whole count once", 19, func(n int) (string, []string, upstream.Outcome) {
			return fmt.Sprint(n), []string{fmt.Sprint(n, "a"), fmt.Sprint(n, "b")}, refused()
		}, "permanent"},
		{"nobody was asked", 50, func(n int) (string, []string, upstream.Outcome) {
			return fmt.Sprint(n), []string{fmt.Sprint(n)}, upstream.Outcome{Err: &upstream.Error{Class: upstream.Permanent, Err: errors.New("too large")}}
		}, "permanent"},
	} {
		g := newGate()
		var last []upstream.Outcome
		for n := 1; n <= c.mails; n++ {
			id, to, out := c.offer(n)
			var rcpts []upstream.Recipient
			last = nil
			for _, address := range to {
				rcpts, last = append(rcpts, upstream.Recipient{Address: address}), append(last, out)
			}
			last = g.Guard(id, rcpts, last)
		}
		for _, o := range last {
			var e *upstream.Error
			if !errors.As(o.Err, &e) || e.Class.String() != c.want {
				t.Errorf("%s: %v, want class %s", c.name, o.Err, c.want)
			}
		}
	}
}
