package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/meter"
)

// TestEvents: each event is one line of its name with the keys operators search for, and one counter.
func TestEvents(t *testing.T) {
	a := Attempt{ID: "Q1", MessageID: "<m@x>", From: "f@x", To: []string{"a@y", "b@y"}, Upstream: "main", ProviderID: "P1",
		Attempts: 2, Took: 1500 * time.Millisecond, Class: "temporary", Status: 503, Error: "busy", Next: time.Unix(1e9, 0).UTC()}
	for _, c := range []struct {
		event  string
		write  func(*Journal)
		want   map[string]any
		metric string
		value  float64
	}{
		{"accepted", func(j *Journal) {
			j.Accepted(Accepted{ID: "Q1", From: "f@x", To: []string{"a@y"}, Size: 12, Client: "127.0.0.1", Listener: "l", MessageID: "<m@x>", User: "u", Rewritten: []string{"staging"}})
		}, map[string]any{"id": "Q1", "from": "f@x", "size": 12.0, "client": "127.0.0.1", "message_id": "<m@x>", "user": "u", "rewritten": []any{"staging"}}, "mailhatch_accepted_total", 1},
		{"rejected", func(j *Journal) { j.Rejected(Rejected{Stage: "RCPT", Code: 550, Reason: "no"}) },
			map[string]any{"stage": "RCPT", "code": 550.0, "reason": "no"}, "mailhatch_rejected_total", 1},
		{"sent", func(j *Journal) { j.Sent(a) }, map[string]any{"id": "Q1", "upstream": "main", "provider_id": "P1", "latency_ms": 1500.0, "attempts": 2.0}, "mailhatch_sent_total", 2},
		{"deferred", func(j *Journal) { j.Deferred(a) }, map[string]any{"class": "temporary", "status": 503.0, "error": "busy", "next": "2001-09-09T01:46:40Z"}, "mailhatch_deferred_total", 2},
		{"failed", func(j *Journal) { j.Failed(a) }, map[string]any{"class": "temporary"}, "mailhatch_failed_total", 2},
		{"held", func(j *Journal) { j.Held(a) }, map[string]any{"id": "Q1"}, "mailhatch_held_total", 2},
		{"discarded", func(j *Journal) { j.Discarded(a) }, map[string]any{"id": "Q1"}, "mailhatch_discarded_total", 2},
		{"operator", func(j *Journal) {
			j.Operator(Operation{Action: "delete", By: "root", Filter: "all", Messages: 1, Recipients: 3})
		}, map[string]any{"action": "delete", "by": "root", "filter": "all", "messages": 1.0, "recipients": 3.0}, "mailhatch_discarded_total", 3},
		{"operator", func(j *Journal) { j.Operator(Operation{Action: "move", By: "root", Upstream: "relay"}) },
			map[string]any{"upstream": "relay"}, "mailhatch_operator_actions_total", 1},
		{"upstream_paused", func(j *Journal) { j.UpstreamPaused("main", "root") }, map[string]any{"upstream": "main", "by": "root"}, "mailhatch_operator_actions_total", 1},
		{"upstream_resumed", func(j *Journal) { j.UpstreamResumed("main", "root", time.Second, true) },
			map[string]any{"by": "root", "after_ms": 1000.0}, "mailhatch_operator_actions_total", 1},
		{"suppressed", func(j *Journal) {
			j.Suppressed(Suppression{Address: "a@y", Domain: "x", Reason: "bounced", ID: "Q1", Upstream: "main", Until: time.Unix(1e9, 0).UTC(), Words: "550"})
		}, map[string]any{"address": "a@y", "domain": "x", "reason": "bounced", "id": "Q1", "upstream": "main", "until": "2001-09-09T01:46:40Z", "words": "550"}, "mailhatch_suppressed_total", 1},
		{"lifted", func(j *Journal) { j.Lifted(Suppression{Address: "a@y", Reason: "bounced"}) }, map[string]any{"address": "a@y", "reason": "bounced"}, "mailhatch_suppressed_lifted_total", 1},
		{"failover", func(j *Journal) { j.Failover(a, "relay") }, map[string]any{"next_upstream": "relay"}, "mailhatch_failover_total", 2},
		{"bounced", func(j *Journal) { j.Bounced(a, "Q2") }, map[string]any{"bounce": "Q2"}, "mailhatch_bounced_total", 1},
		{"upstream_closed", func(j *Journal) { j.UpstreamClosed("main", "account", errors.New("401"), time.Now()) },
			map[string]any{"upstream": "main", "reason": "account", "error": "401"}, "mailhatch_upstream_closed_total", 1},
		{"upstream_opened", func(j *Journal) { j.UpstreamOpened("main", time.Second) }, map[string]any{"after_ms": 1000.0}, "mailhatch_upstream_open", 1},
		{"reloaded", func(j *Journal) { j.Reloaded(nil) }, nil, "mailhatch_reloads_total", 1},
		{"reload_refused", func(j *Journal) { j.Reloaded(errors.New("bad")) }, map[string]any{"error": "bad"}, "mailhatch_reloads_total", 1},
		{"internal_error", func(j *Journal) { j.InternalError("queue", errors.New("EIO")) }, map[string]any{"where": "queue", "error": "EIO"}, "mailhatch_internal_errors_total", 1},
	} {
		t.Run(c.event, func(t *testing.T) {
			var out bytes.Buffer
			reg := meter.NewRegistry()
			c.write(New(slog.New(slog.NewJSONHandler(&out, nil)), reg))
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("not one line of JSON: %v\n%s", err, &out)
			}
			if line["msg"] != c.event {
				t.Errorf("event %v, want %s", line["msg"], c.event)
			}
			for k, v := range c.want {
				if !reflect.DeepEqual(line[k], v) {
					t.Errorf("%s = %v, want %v", k, line[k], v)
				}
			}
			if got := sum(t, reg, c.metric); got != c.value {
				t.Errorf("%s = %v, want %v", c.metric, got, c.value)
			}
		})
	}
}

func sum(t *testing.T, reg *meter.Registry, name string) float64 {
	t.Helper()
	samples, err := meter.Read(bytes.NewReader(reg.Text()))
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, s := range samples {
		for _, value := range s.Labels { // every account on the machine may read them
			if strings.Contains(value, "@") {
				t.Errorf("%s names somebody: %s", s.Name, value)
			}
		}
		if s.Name == name {
			total += s.Value
		}
	}
	return total
}

func TestOfferedCountsWithoutALine(t *testing.T) {
	var out bytes.Buffer
	reg := meter.NewRegistry()
	j := New(slog.New(slog.NewJSONHandler(&out, nil)), reg)
	j.Offered("main", "sent", time.Second)
	if out.Len() > 0 || sum(t, reg, "mailhatch_attempt_seconds_count") != 1 || sum(t, reg, "mailhatch_attempts_total") != 1 {
		t.Errorf("line %q, count %v", &out, sum(t, reg, "mailhatch_attempts_total"))
	}
	if j.Log() == nil {
		t.Error("no logger")
	}
}

// TestLines: programs read these lines; every byte of them stays.
func TestLines(t *testing.T) {
	options := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	write := func(handler func(io.Writer, *slog.HandlerOptions) slog.Handler) string {
		var out bytes.Buffer
		j := New(slog.New(handler(&out, options)).With("place", "here"), meter.NewRegistry())
		j.Accepted(Accepted{ID: "Q1", MessageID: "<m&1@x>", From: "", To: []string{"a@y", "zoë \"q\"@y"}, Size: 12, Client: "127.0.0.1",
			User: "u", Listener: "127.0.0.1:1025", Rewritten: []string{"staging", "all mail"}})
		j.Accepted(Accepted{ID: "Q2", From: "f@x", To: []string{"a@y"}, Size: 1, Client: "local"})
		j.Sent(Attempt{ID: "Q1", MessageID: "<m&1@x>", From: "f@x", To: []string{"a@y"}, Upstream: "main", ProviderID: "250 2.0.0 ok", Attempts: 2,
			Took: 1500 * time.Millisecond})
		return out.String()
	}
	for _, c := range []struct{ name, got, want string }{
		{"json", write(func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) }),
			`{"level":"INFO","msg":"accepted","place":"here","id":"Q1","message_id":"<m&1@x>","from":"","to":["a@y","zoë \"q\"@y"],"size":12,"client":"127.0.0.1","user":"u","listener":"127.0.0.1:1025","rewritten":["staging","all mail"]}
{"level":"INFO","msg":"accepted","place":"here","id":"Q2","message_id":"","from":"f@x","to":["a@y"],"size":1,"client":"local","user":"","listener":""}
{"level":"INFO","msg":"sent","place":"here","id":"Q1","message_id":"<m&1@x>","from":"f@x","to":["a@y"],"upstream":"main","attempts":2,"latency_ms":1500,"provider_id":"250 2.0.0 ok"}
`},
		{"text", write(func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) }),
			`level=INFO msg=accepted place=here id=Q1 message_id=<m&1@x> from="" to="[a@y zoë \"q\"@y]" size=12 client=127.0.0.1 user=u listener=127.0.0.1:1025 rewritten="[staging all mail]"
level=INFO msg=accepted place=here id=Q2 message_id="" from=f@x to=[a@y] size=1 client=local user="" listener=""
level=INFO msg=sent place=here id=Q1 message_id=<m&1@x> from=f@x to=[a@y] upstream=main attempts=2 latency_ms=1500 provider_id="250 2.0.0 ok"
`},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n%swant:\n%s", c.name, c.got, c.want)
		}
	}
}

// TestLevel: lines below the level of the log are not written, and counted all the same.
func TestLevel(t *testing.T) {
	var out bytes.Buffer
	reg := meter.NewRegistry()
	j := New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})), reg)
	j.Accepted(Accepted{ID: "Q1"})
	if out.Len() > 0 || sum(t, reg, "mailhatch_accepted_total") != 1 {
		t.Errorf("line %q, count %v", &out, sum(t, reg, "mailhatch_accepted_total"))
	}
}

// TestCredentials: what becomes of logins is told without a counter; the gauges of the admin server show it.
func TestCredentials(t *testing.T) {
	var out bytes.Buffer
	j := New(slog.New(slog.NewTextHandler(&out, nil)), meter.NewRegistry())
	end := time.Unix(1e9, 0).UTC()
	j.NotRenewed("m365", "token", errors.New("AADSTS65001"), end)
	j.NotRenewed("m365", "token", errors.New("nobody"), time.Time{})
	j.Expiring("m365", "certificate", end)
	j.LoggedIn("m365")
	for i, want := range []string{
		"level=WARN msg=not_renewed upstream=m365 what=token error=AADSTS65001 end=2001-09-09T01:46:40.000Z",
		"level=WARN msg=not_renewed upstream=m365 what=token error=nobody",
		"level=WARN msg=expiring upstream=m365 what=certificate end=2001-09-09T01:46:40.000Z",
		"level=INFO msg=logged_in upstream=m365",
	} {
		if line := strings.Split(out.String(), "\n")[i]; !strings.HasSuffix(line, want) {
			t.Errorf("%q, want %q", line, want)
		}
	}
}
