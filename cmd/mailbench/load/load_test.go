package load

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/cmd/mailbench/latency"
	"mailhatch/cmd/mailbench/sink"
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
			to := runSink(t, sink.Faults{})
			l := loadFor(to)
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
			st := to.Stats()
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
	to := runSink(t, sink.Faults{Delay: delay})
	l := loadFor(to)
	got, err := l.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	la := got.Latency
	if la.P50 < latency.Milliseconds(delay) || la.P90 < la.P50 || la.P99 < la.P90 || la.Max < la.P99 {
		t.Errorf("latency %+v", la)
	}
	if st := to.Stats(); st.MaxInFlight < 2 || st.MaxInFlight > l.Sessions {
		t.Errorf("%d in flight", st.MaxInFlight)
	}
	// An open loop faster than the server: messages wait to be sent, and that counts as latency.
	l.Sessions, l.Messages, l.Rate = 1, 10, 10000
	if got, err = l.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.Latency.Max < 9*latency.Milliseconds(delay) {
		t.Errorf("open loop hides the wait: %+v", got.Latency)
	}
}

func TestLoadDuration(t *testing.T) {
	to := runSink(t, sink.Faults{Delay: time.Millisecond})
	l := loadFor(to)
	l.Messages, l.Duration = 0, 50*time.Millisecond
	got, err := l.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Accepted < 4 || got.Accepted != to.Stats().Unique || got.Seconds < 0.05 {
		t.Errorf("result %+v", got)
	}
}

func TestLoadRecordsRefusals(t *testing.T) {
	tests := []struct {
		name       string
		faults     sink.Faults
		want       Result
		problem    string
		reconnects bool
	}{
		{"temporary", sink.Faults{Temporary: 1}, Result{RefusedTemporary: 40}, "message: 451 4.3.0 Try again", false},
		{"throttled", sink.Faults{Throttle: 1}, Result{RefusedTemporary: 40}, "message: 451 4.7.1 Too many messages", false},
		{"permanent", sink.Faults{Permanent: 1}, Result{RefusedPermanent: 40}, "message: 550 5.7.1 Refused", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to := runSink(t, tt.faults)
			got, err := loadFor(to).Send(t.Context())
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
			if st := to.Stats(); st.Accepted != 0 {
				t.Errorf("sink %+v", st)
			}
		})
	}
}

func TestLoadGivesUpOnDeadServer(t *testing.T) {
	tests := []struct {
		name   string
		faults sink.Faults
		counts int // at the sink, of each session
	}{{"before", sink.Faults{DropBefore: 1}, 0}, {"after", sink.Faults{DropAfter: 1}, MaxBroken}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to := runSink(t, tt.faults)
			l := loadFor(to)
			l.Sessions = 1
			got, err := l.Send(t.Context())
			if err == nil || !strings.Contains(err.Error(), "gave up after 5 connections") {
				t.Errorf("error %v", err)
			}
			if got.Broken != MaxBroken || got.Accepted != 0 || got.Connections != MaxBroken {
				t.Errorf("result %+v", got)
			}
			if st := to.Stats(); st.Accepted != tt.counts {
				t.Errorf("sink %+v", st)
			}
		})
	}
}

func TestLoadSurvivesSomeFaults(t *testing.T) {
	to := runSink(t, sink.Faults{Temporary: 0.2, Permanent: 0.1, DropBefore: 0.1})
	l := loadFor(to)
	l.Messages = 400
	got, err := l.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st := to.Stats()
	want := map[sink.Verdict]int{"temporary": got.RefusedTemporary, "permanent": got.RefusedPermanent, "dropped_before": got.Broken}
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
			l := Load{Addr: addr, Sessions: 1, Messages: 2, Size: 1024, Recipients: 2, Pipelining: tt.pipelining, Timeout: time.Minute}
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
	to := runSink(t, sink.Faults{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	l := loadFor(to)
	got, err := l.Send(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || got.Accepted != 0 {
		t.Errorf("error %v, result %+v", err, got)
	}
	// The same while an open loop waits for its next message.
	l.Rate, l.Messages, l.Sessions = 0.001, 2, 1
	to.SetFaults(sink.Faults{})
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if got, err = l.Send(ctx); !errors.Is(err, context.DeadlineExceeded) || got.Accepted != 1 {
		t.Errorf("error %v, result %+v", err, got)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	r := NewResult("")
	for i := range 2 * maxProblems {
		r.Record(&replyError{Stage: "message", Code: 451, Text: strings.Repeat("x", i)}, 0)
	}
	r.Record(io.ErrUnexpectedEOF, 0)
	if len(r.Problems) != maxProblems+1 || r.Problems["other"] != maxProblems+1 || r.RefusedTemporary != 2*maxProblems || r.Broken != 1 {
		t.Errorf("%d kinds, %+v", len(r.Problems), r)
	}
}

// RunSink runs a sink for the length of a test.
func runSink(t *testing.T, f sink.Faults) *sink.Sink {
	t.Helper()
	to, stop, err := sink.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to.SetFaults(f)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return to
}

// LoadFor is a small load for a sink.
func loadFor(s *sink.Sink) Load {
	return Load{Addr: s.SMTPAddr().String(), Sessions: 4, Messages: 40, Size: 1024, Recipients: 1, Timeout: time.Minute}
}

// dialogServer answers each line of a connection by what answer gives; "" closes. It stops with the test.
func dialogServer(t *testing.T, greeting string, answer func(line string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { converse(conn, greeting, answer) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func converse(conn net.Conn, greeting string, answer func(string) string) {
	defer conn.Close()
	if _, err := io.WriteString(conn, greeting); err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	rest := ""
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		rest += string(buf[:n])
		for {
			line, after, ok := strings.Cut(rest, "\r\n")
			if !ok {
				break
			}
			rest = after
			reply := answer(line)
			if reply == "" {
				return
			}
			if reply == "-" { // a line of a message
				continue
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	}
}
