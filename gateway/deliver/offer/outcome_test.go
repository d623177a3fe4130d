package offer

import (
	"errors"
	"testing"

	"mailhatch/upstream"
)

func TestThrottleOn(t *testing.T) {
	patterns := []string{"*Too Many Requests*", "554 5.7.1: slow*"}
	for _, tc := range []struct {
		err  error
		want upstream.Class
	}{
		{&upstream.Error{Class: upstream.Permanent, Status: 550, Err: errors.New("TOO many requests from you")}, upstream.Throttled},
		{&upstream.Error{Class: upstream.Permanent, Status: 554, Code: "5.7.1", Err: errors.New("slow now")}, upstream.Throttled},
		{&upstream.Error{Class: upstream.Account, Sender: true, Status: 403, Err: errors.New("too many requests")}, upstream.Throttled},
		{&upstream.Error{Class: upstream.Temporary, Connect: true, Err: errors.New("too many requests")}, upstream.Throttled},
		{errors.New("too many requests"), upstream.Throttled},
		{&upstream.Error{Class: upstream.Uncertain, Err: errors.New("too many requests")}, upstream.Uncertain},
		{&upstream.Error{Class: upstream.Permanent, Status: 550, Err: errors.New("no such user")}, upstream.Permanent},
	} {
		out := Throttled([]upstream.Outcome{{Err: tc.err}, {ID: "taken"}, {Err: tc.err}}, patterns)
		e := Failure(out[0].Err)
		if e.Class != tc.want || out[1].Err != nil || e.Sender || e.Connect {
			t.Errorf("%v: %+v", tc.err, out)
		}
		if first, ok := tc.err.(*upstream.Error); ok && Failure(out[2].Err) != e { //nolint:errorlint // the same one
			t.Errorf("%v: the recipients of one call do not share its error", first)
		}
		if out := Throttled([]upstream.Outcome{{Err: tc.err}}, nil); !errors.Is(out[0].Err, tc.err) {
			t.Errorf("%v changed without a pattern", tc.err)
		}
	}
}
