package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoadReachesSink(t *testing.T) {
	tests := []struct {
		name        string
		change      func(*Load)
		connections int
	}{
		{"keep-alive", func(*Load) {}, 4},
		{"pipelining", func(l *Load) { l.Pipelining = true }, 4},
		{"connection per message", func(l *Load) { l.PerConnection = 1 }, 40},
		{"one session, four a connection", func(l *Load) { l.Sessions, l.PerConnection = 1, 4 }, 10},
		{"recipients", func(l *Load) { l.Recipients, l.Size, l.Pipelining = 100, 8192, true }, 4},
		{"large", func(l *Load) { l.Size, l.Messages = 1<<20, 8 }, 4},
		{"open loop", func(l *Load) { l.Rate = 2000 }, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := runSink(t, Faults{})
			l := loadFor(sink)
			tt.change(&l)
			got, err := l.Send(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Accepted != l.Messages || got.RefusedTemporary+got.RefusedPermanent+got.Broken != 0 || len(got.Problems) != 0 {
				t.Errorf("result %+v", got)
			}
			if tt.connections != 0 && (got.Connections > tt.connections || got.Connections < 1 || l.PerConnection > 0 && got.Connections != tt.connections) {
				t.Errorf("%d connections, want %d", got.Connections, tt.connections)
			}
			st := sink.Stats()
			if st.Accepted != l.Messages || st.Unique != l.Messages || st.Duplicates != 0 || st.Unidentified != 0 {
				t.Errorf("sink %+v", st)
			}
			if st.Connections != got.Connections || st.Last.Before(st.First) || st.First.Before(got.Began) {
				t.Errorf("sink %+v, result %+v", st, got)
			}
			if got.PerSecond <= 0 || got.Seconds <= 0 {
				t.Errorf("rate %v over %v s", got.PerSecond, got.Seconds)
			}
		})
	}
}

func TestLatency(t *testing.T) {
	const delay = 20 * time.Millisecond
	sink := runSink(t, Faults{Delay: delay})
	l := loadFor(sink)
	got, err := l.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	la := got.Latency
	if la.P50 < milliseconds(delay) || la.P90 < la.P50 || la.P99 < la.P90 || la.Max < la.P99 {
		t.Errorf("latency %+v", la)
	}
	if st := sink.Stats(); st.MaxInFlight < 2 || st.MaxInFlight > l.Sessions {
		t.Errorf("%d in flight", st.MaxInFlight)
	}
	// An open loop faster than the server: messages wait to be sent, and that counts as latency.
	l.Sessions, l.Messages, l.Rate = 1, 10, 10000
	if got, err = l.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.Latency.Max < 9*milliseconds(delay) {
		t.Errorf("open loop hides the wait: %+v", got.Latency)
	}
}

func TestSummarize(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	if diff := cmp.Diff(Latency{P50: 50, P90: 90, P99: 99, Max: 100}, summarize(took)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Latency{P50: 7, P90: 7, P99: 7, Max: 7}, summarize([]time.Duration{7 * time.Millisecond})); diff != "" {
		t.Error(diff)
	}
	if got := summarize(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestLoadDuration(t *testing.T) {
	sink := runSink(t, Faults{Delay: time.Millisecond})
	l := loadFor(sink)
	l.Messages, l.Duration = 0, 50*time.Millisecond
	got, err := l.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Accepted < 4 || got.Accepted != sink.Stats().Unique || got.Seconds < 0.05 {
		t.Errorf("result %+v", got)
	}
}

func TestLoadRecordsRefusals(t *testing.T) {
	tests := []struct {
		name       string
		faults     Faults
		want       LoadResult
		problem    string
		reconnects bool
	}{
		{"temporary", Faults{Temporary: 1}, LoadResult{RefusedTemporary: 40}, "message: 451 4.3.0 Try again", false},
		{"throttled", Faults{Throttle: 1}, LoadResult{RefusedTemporary: 40}, "message: 451 4.7.1 Too many messages", false},
		{"permanent", Faults{Permanent: 1}, LoadResult{RefusedPermanent: 40}, "message: 550 5.7.1 Refused", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := runSink(t, tt.faults)
			got, err := loadFor(sink).Send(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Accepted != 0 || got.RefusedTemporary != tt.want.RefusedTemporary || got.RefusedPermanent != tt.want.RefusedPermanent || got.Broken != 0 {
				t.Errorf("result %+v", got)
			}
			if diff := cmp.Diff(map[string]int{tt.problem: 40}, got.Problems); diff != "" {
				t.Error(diff)
			}
			if got.Connections > 4 {
				t.Errorf("%d connections: a refusal needs no new one", got.Connections)
			}
			if st := sink.Stats(); st.Accepted != 0 {
				t.Errorf("sink %+v", st)
			}
		})
	}
}

func TestLoadGivesUpOnDeadServer(t *testing.T) {
	tests := []struct {
		name   string
		faults Faults
		counts int // at the sink, of each session
	}{{"before", Faults{DropBefore: 1}, 0}, {"after", Faults{DropAfter: 1}, maxBrokenRow}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := runSink(t, tt.faults)
			l := loadFor(sink)
			l.Sessions = 1
			got, err := l.Send(t.Context())
			if err == nil || !strings.Contains(err.Error(), "gave up after 5 connections") {
				t.Errorf("error %v", err)
			}
			if got.Broken != maxBrokenRow || got.Accepted != 0 || got.Connections != maxBrokenRow {
				t.Errorf("result %+v", got)
			}
			if st := sink.Stats(); st.Accepted != tt.counts {
				t.Errorf("sink %+v", st)
			}
		})
	}
}

func TestLoadSurvivesSomeFaults(t *testing.T) {
	sink := runSink(t, Faults{Temporary: 0.2, Permanent: 0.1, DropBefore: 0.1})
	l := loadFor(sink)
	l.Messages = 400
	got, err := l.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st := sink.Stats()
	want := map[verdict]int{temporary: got.RefusedTemporary, permanent: got.RefusedPermanent, dropBefore: got.Broken}
	if diff := cmp.Diff(want, st.Refused); diff != "" {
		t.Errorf("load and sink disagree:\n%s", diff)
	}
	if got.Accepted != st.Unique || got.Accepted+got.RefusedTemporary+got.RefusedPermanent+got.Broken != 400 {
		t.Errorf("result %+v\nsink %+v", got, st)
	}
}

func TestClientRefusalsBeforeData(t *testing.T) {
	ok := func(line string) string {
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "DATA":
			return "354 go\r\n"
		default:
			return "250-first\r\n250 ok\r\n"
		}
	}
	refuse := func(prefix, reply string) func(string) string {
		return func(line string) string {
			if strings.HasPrefix(line, prefix) {
				return reply
			}
			return ok(line)
		}
	}
	tests := []struct {
		name       string
		greeting   string
		answer     func(string) string
		pipelining bool
		want       string
		over       bool // no further message on the connection
	}{
		{"greeting", "554 go away\r\n", ok, false, "greeting: 554 go away", true},
		{"garbage", "hello\r\n", ok, false, `connection: not an SMTP reply ("hello\r\n")`, true},
		{"EHLO", "220 x\r\n", refuse("EHLO", "502 what\r\n"), false, "EHLO: 502 what", true},
		{"MAIL", "220 x\r\n", refuse("MAIL", "452 full\r\n"), false, "MAIL: 452 full", false},
		{"RCPT", "220 x\r\n", refuse("RCPT", "550 5.1.1 no\r\n"), false, "RCPT: 550 5.1.1 no", false},
		{"421", "220 x\r\n", refuse("RCPT", "421 bye\r\n"), false, "RCPT: 421 bye", true},
		{"DATA", "220 x\r\n", refuse("DATA", "451 no\r\n"), false, "DATA: 451 no", false},
		{"closed", "220 x\r\n", refuse("MAIL", ""), false, "connection: EOF", true},
		{"RCPT pipelined, 354 all the same", "220 x\r\n", refuse("RCPT TO:<r2@", "550 no\r\n"), true, "RCPT: 550 no", true},
		{"MAIL pipelined", "220 x\r\n", func(line string) string {
			if line == "RSET" || strings.HasPrefix(line, "EHLO") {
				return "250 ok\r\n"
			}
			return "503 no\r\n"
		}, true, "MAIL: 503 no", false},
		{"closed pipelined", "220 x\r\n", refuse("MAIL", ""), true, "connection: EOF", true},
		{"RSET", "220 x\r\n", func(line string) string {
			if strings.HasPrefix(line, "EHLO") {
				return "250 ok\r\n"
			}
			return "500 no\r\n"
		}, false, "RSET: 500 no", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := dialogServer(t, tt.greeting, tt.answer)
			l := Load{Addr: addr, Sessions: 1, Messages: 2, Size: 1024, Recipients: 2, Pipelining: tt.pipelining, Timeout: 5 * time.Second}
			got, err := l.Send(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{tt.want: 2}, got.Problems); diff != "" {
				t.Error(diff)
			}
			if greeted := strings.HasPrefix(tt.greeting, "220") && tt.name != "EHLO"; greeted && (got.Connections == 2) != tt.over {
				t.Errorf("%d connections", got.Connections)
			}
		})
	}
}

func TestLoadCheck(t *testing.T) {
	good := Load{Addr: "127.0.0.1:1", Sessions: 1, Messages: 1, Size: 1024, Recipients: 1, Timeout: time.Second}
	tests := []struct {
		name, want string
		change     func(*Load)
	}{
		{"address", "not a loopback", func(l *Load) { l.Addr = "192.0.2.1:25" }},
		{"name", "not a loopback", func(l *Load) { l.Addr = "mail.example.com:25" }},
		{"port", "missing port", func(l *Load) { l.Addr = "127.0.0.1" }},
		{"sessions", "sessions", func(l *Load) { l.Sessions = 0 }},
		{"recipients", "recipients", func(l *Load) { l.Recipients = -1 }},
		{"endless", "number of messages or a duration", func(l *Load) { l.Messages = 0 }},
		{"size", "no room for its header", func(l *Load) { l.Size = 100 }},
		{"run", "eight", func(l *Load) { l.Run = "a b" }},
		{"timeout", "timeout", func(l *Load) { l.Timeout = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := good
			tt.change(&l)
			if _, err := l.Send(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoadEndsWithContext(t *testing.T) {
	sink := runSink(t, Faults{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	l := loadFor(sink)
	got, err := l.Send(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || got.Accepted != 0 {
		t.Errorf("error %v, result %+v", err, got)
	}
	// The same while an open loop waits for its next message.
	l.Rate, l.Messages, l.Sessions = 0.001, 2, 1
	sink.SetFaults(Faults{})
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err = l.Send(ctx); !errors.Is(err, context.DeadlineExceeded) || got.Accepted != 1 {
		t.Errorf("error %v, result %+v", err, got)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	r := newLoadResult("")
	for i := range 2 * maxProblems {
		r.record(&replyError{Stage: "message", Code: 451, Text: strings.Repeat("x", i)}, 0)
	}
	r.record(io.ErrUnexpectedEOF, 0)
	if len(r.Problems) != maxProblems+1 || r.Problems["other"] != maxProblems+1 || r.RefusedTemporary != 2*maxProblems || r.Broken != 1 {
		t.Errorf("%d kinds, %+v", len(r.Problems), r)
	}
}
