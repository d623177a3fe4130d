package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/message"
)

// dialog sends each line to the sink and compares the beginning of each reply.
func dialog(t *testing.T, sink *Sink, pairs ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", sink.SMTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if greeting, err := r.ReadString('\n'); err != nil || greeting != Greeting {
		t.Fatalf("greeting %q, %v", greeting, err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if _, err := io.WriteString(conn, pairs[i]+"\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, pairs[i+1]) {
			t.Errorf("%q: %q, %v; want %q", pairs[i], line, err, pairs[i+1])
		}
	}
}

func TestSinkDialog(t *testing.T) {
	sink := runSink(t, Faults{})
	id := message.ID("deadbeef", 1)
	dialog(t, sink,
		"RCPT TO:<a@b>", "503 5.5.1 MAIL first",
		"mail FROM:<>", "250",
		"MAIL FROM:<>", "503 5.5.1 Nested",
		"DATA", "503 5.5.1 RCPT first",
		"RCPT TO:<a@b>", "250",
		"DATA", "354",
		"x-load-id: "+id+"\r\n\r\n..\r\nX-Load-Id: other\r\n"+strings.Repeat("long", LineSize)+"\r\n.", "250 2.0.0 OK: counted "+id,
		"DATA", "503",
		"NOOP", "250",
		"HELO x", "250",
		"MAIL FROM:<>", "250",
		"RSET", "250",
		"MAIL FROM:<>", "250",
		"RCPT TO:<a@b>", "250",
		"DATA", "354",
		"X-Load-Id: "+id+"\r\n.", "250",
		"MAIL FROM:<>", "250",
		"RCPT TO:<a@b>", "250",
		"DATA", "354",
		"Subject: none\r\n.", "250",
		"TURN", "500",
		"QUIT", "221")
	st := sink.Stats()
	if st.Accepted != 3 || st.Unique != 1 || st.Duplicates != 1 || st.Unidentified != 1 {
		t.Errorf("stats %+v", st)
	}
}

// A message cut off by the connection's end was never handed over.
func TestSinkIgnoresHalfMessage(t *testing.T) {
	sink := runSink(t, Faults{})
	dialog(t, sink, "MAIL FROM:<>", "250", "RCPT TO:<a@b>", "250", "DATA", "354")
	l := loadFor(sink)
	if _, err := l.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := sink.Stats(); st.Accepted != l.Messages {
		t.Errorf("stats %+v", st)
	}
}

func TestSinkCountsDuplicates(t *testing.T) {
	sink := runSink(t, Faults{})
	l := loadFor(sink)
	l.Run = "deadbeef"
	for range 2 {
		if _, err := l.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st := sink.Stats(); st.Accepted != 80 || st.Unique != 40 || st.Duplicates != 40 {
		t.Errorf("stats %+v", st)
	}
}

func TestAwait(t *testing.T) {
	sink := runSink(t, Faults{})
	l := loadFor(sink)
	done := make(chan error, 1)
	go func() { done <- sink.Await(t.Context(), l.Messages) }()
	if _, err := l.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := sink.Await(t.Context(), l.Messages); err != nil {
		t.Errorf("already there: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := sink.Await(ctx, l.Messages+1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one too many: %v", err)
	}
}

// request sends one to the sink's web side and gives status, header and body.
func request(t *testing.T, method, url, body string, header map[string]string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func TestSinkProviders(t *testing.T) {
	sink := runSink(t, Faults{})
	auth := map[string]string{"Authorization": "Bearer key", "Idempotency-Key": ""}
	json1 := `{"headers":{"X-Load-Id":"deadbeef-01"}}`
	status, _, body := request(t, "POST", sink.URL()+"/emails", json1, auth)
	if status != 200 || body != `{"id":"sink-deadbeef-01"}` {
		t.Errorf("resend: %d %s", status, body)
	}
	status, header, body := request(t, "POST", sink.URL()+"/v3/mail/send", `{"headers":{"X-Load-Id":"deadbeef-02"}}`, auth)
	if status != 202 || body != "" || header.Get("X-Message-Id") != "sink-deadbeef-02" {
		t.Errorf("sendgrid: %d %s %v", status, body, header)
	}
	status, _, body = request(t, "POST", sink.URL()+"/v3/d.example/messages.mime", "--b\r\n\r\nX-Load-Id: deadbeef-03\r\n", auth)
	if status != 200 || body != `{"id":"<sink-deadbeef-03@mailgun.example>","message":"Queued. Thank you."}` {
		t.Errorf("mailgun: %d %s", status, body)
	}
	if status, _, _ = request(t, "POST", sink.URL()+"/emails", json1, nil); status != 401 {
		t.Errorf("without a key: %d", status)
	}
	if status, _, _ = request(t, "POST", sink.URL()+"/emails/batch", json1, auth); status != 404 {
		t.Errorf("batch: %d", status)
	}
	if status, _, _ = request(t, "POST", sink.URL()+"/emails", "{}", auth); status != 200 {
		t.Errorf("without an id: %d", status)
	}
	if st := sink.Stats(); st.Accepted != 4 || st.Unique != 3 || st.Unidentified != 1 || st.Duplicates != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestSinkIdempotency(t *testing.T) {
	sink := runSink(t, Faults{})
	send := func(id string) string {
		_, _, body := request(t, "POST", sink.URL()+"/emails", `{"headers":{"X-Load-Id":"`+id+`"}}`,
			map[string]string{"Authorization": "Bearer key", "Idempotency-Key": "k"})
		return body
	}
	if first, second := send("a-1"), send("a-1"); first != second {
		t.Errorf("%s, then %s", first, second)
	}
	if st := sink.Stats(); st.Accepted != 1 || st.Replays != 1 || st.Duplicates != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestSinkHTTPFaults(t *testing.T) {
	tests := []struct {
		faults   string
		status   int
		accepted int
	}{
		{`{"throttle":1}`, 429, 0},
		{`{"temporary":1}`, 500, 0},
		{`{"permanent":1}`, 400, 0},
		{`{"drop_before":1}`, 0, 0},
		{`{"drop_after":1}`, 0, 1},
		{`{"delay_ns":1000000,"jitter_ns":1000000}`, 200, 1},
	}
	sink := runSink(t, Faults{})
	for _, tt := range tests {
		t.Run(tt.faults, func(t *testing.T) {
			if status, _, body := request(t, "PUT", sink.URL()+"/_sink/faults", tt.faults, nil); status != 204 {
				t.Fatalf("%d %s", status, body)
			}
			status, header, body := request(t, "POST", sink.URL()+"/emails", `{"X-Load-Id":"a-1"}`, map[string]string{"Authorization": "x"})
			if status != tt.status {
				t.Errorf("%d %s", status, body)
			}
			if (header.Get("Retry-After") == "1") != (status == 429) {
				t.Errorf("Retry-After %q", header.Get("Retry-After"))
			}
			var st Stats
			_, _, body = request(t, "GET", sink.URL()+"/_sink/stats", "", nil)
			if err := json.Unmarshal([]byte(body), &st); err != nil || st.Accepted != tt.accepted {
				t.Errorf("%v %s", err, body)
			}
			if status, _, _ := request(t, "POST", sink.URL()+"/_sink/reset", "", nil); status != 204 || sink.Stats().Accepted != 0 {
				t.Errorf("reset: %d, %+v", status, sink.Stats())
			}
		})
	}
	if status, _, body := request(t, "PUT", sink.URL()+"/_sink/faults", `{"trottle":1}`, nil); status != 400 || !strings.Contains(body, "trottle") {
		t.Errorf("unknown fault: %d %s", status, body)
	}
}

func TestOpenSinkErrors(t *testing.T) {
	if _, err := Open("0.0.0.0:0", "127.0.0.1:0", Faults{}); err == nil {
		t.Error("a sink for everybody")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Open(l.Addr().String(), "127.0.0.1:0", Faults{}); err == nil {
		t.Error("SMTP address in use")
	}
	if _, err := Open("127.0.0.1:0", l.Addr().String(), Faults{}); err == nil {
		t.Error("HTTP address in use")
	}
}

// runSink runs a sink for the length of a test.
func runSink(t *testing.T, f Faults) *Sink {
	t.Helper()
	s, stop, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.SetFaults(f)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// loadFor returns a small load for a sink.
func loadFor(s *Sink) load.Load {
	return load.Load{Addr: s.SMTPAddr().String(), Sessions: 4, Messages: 40, Size: 1024, Recipients: 1, Timeout: time.Minute}
}
