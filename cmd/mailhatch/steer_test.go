package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// unknownID is an id of a time long ago.
const unknownID = "0000000000001"

// rig is a state directory with mail in it and a config that names it.
type rig struct {
	dir, config string
	ids         []string // of a queued, a held and a failed message
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh") // short: socket paths are limited to about 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{dir: dir, config: filepath.Join(dir, "c.toml")}
	// The secret cannot be read here, as in an operator's shell.
	text := fmt.Sprintf("state_dir = %q\nrun_dir = %q\n[upstream.main]\ntype = \"resend\"\napi_key = \"env:NOT_SET_HERE\"\n", dir, dir)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) open(t *testing.T) *sqlite.Store {
	t.Helper()
	q, err := sqlite.Open(t.Context(), queue.Settings{Dir: r.dir})
	if err != nil {
		t.Fatal(err)
	}
	go q.Run(context.Background()) //nolint:errcheck // Close ends it
	return q
}

// fill stores three messages.
func (r *rig) fill(t *testing.T, q queue.Queue) {
	t.Helper()
	for i, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		d, err := q.New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(d, "Subject: number %d\r\n\r\nbody %d\r\n", i, i)
		to := []envelope.Recipient{{Address: fmt.Sprintf("ann%d@example.org", i), Given: "ann"}, {Address: "bob@example.org"}}
		progress := envelope.Progress{}
		if state == envelope.Failed {
			progress = envelope.Progress{Attempts: 3, LastAttempt: time.Now().Add(-time.Minute), Upstream: "main", Class: "permanent",
				Error: "422: no such\x1b[31m address", Uncertain: true, Passed: []string{"relay"}}
		}
		err = d.Commit(t.Context(), queue.Accepted{
			Envelope: envelope.Envelope{From: "app@example.com", To: to, EnvID: "e-7", Received: time.Now().Add(-2 * time.Hour),
				Client: envelope.Client{Helo: "laptop", Protocol: "ESMTP", User: "uid:app"}},
			Header: queue.Summary{From: "App <app@example.com>", Subject: fmt.Sprintf("number %d", i), MessageID: fmt.Sprintf("<%d@example.com>", i)},
			Parts:  []queue.Part{{To: to, Lane: "main", State: state, NextAt: time.Now().Add(time.Hour), Progress: progress}},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.ids = append(r.ids, d.ID())
	}
}

// serve answers on the admin socket until the returned function is called.
func (r *rig) serve(t *testing.T, q queue.Engine) (stop func()) {
	t.Helper()
	l, err := sock.Listen(filepath.Join(r.dir, sock.Name))
	if err != nil {
		t.Fatal(err)
	}
	up := func() []api.Upstream {
		return []api.Upstream{{Name: "main", Kind: "resend", State: "closed", Reason: "account", Since: time.Now().Add(-time.Hour),
			LastError: "401: key is invalid", NextProbe: time.Now().Add(90 * time.Second), InFlight: 2, MaxConcurrent: 16, Rate: 2.5,
			Quota: []api.Quota{{Limit: "300/d", Left: 120, Until: time.Now().Add(20 * time.Hour)}}}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	server := admin.New(admin.Config{Queue: q, Status: up, Ready: func() []string { return []string{"a listener is not open"} },
		Hostname: func() string { return "gw" }, Version: "1.2", Started: time.Now().Add(-50 * time.Hour)})
	go func() { done <- server.Serve(ctx, l) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// run gives the exit code and what a command prints.
func (r *rig) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	code = a.main(t.Context(), append([]string{"-c", r.config}, args...))
	return code, out.String(), errs.String()
}

// check runs commands; ID0, ID1 and ID2 stand for the messages. want is a regular expression over
// stdout, or stderr where the command fails.
func (r *rig) check(t *testing.T, line string, wantCode int, want string) {
	t.Helper()
	var pairs []string
	for i, id := range r.ids {
		pairs = append(pairs, fmt.Sprintf("ID%d", i), id)
	}
	named := strings.NewReplacer(pairs...)
	code, stdout, stderr := r.run(t, strings.Fields(named.Replace(line))...)
	out := stdout
	if wantCode != 0 {
		out = stderr
	}
	ok, err := regexp.MatchString(named.Replace(want), out)
	if err != nil {
		t.Fatal(err)
	}
	if code != wantCode || !ok {
		t.Errorf("mailhatch %s: exit %d, want %d and %s\nstdout:\n%s\nstderr:\n%s", line, code, wantCode, named.Replace(want), stdout, stderr)
	}
}

func TestUsageMistakes(t *testing.T) {
	r := newRig(t)
	for line, want := range map[string]string{
		"queue eat":                        `mailhatch: queue has no command "eat"`,
		"queue hold":                       "name messages, or use --all",
		"queue hold --all X":               "not both",
		"queue hold --older soon":          `--older "soon" is not a time; write 2h`,
		"queue hold --all --state eaten":   `--state "eaten": write queued, held or failed`,
		"queue hold --eat":                 "unknown flag --",
		"queue list --state sent":          "write queued, held or failed",
		"queue list --limit -1":            "must not be negative",
		"queue list --limit many":          "is not a value",
		"queue show":                       "queue show: name messages",
		"queue show --eat":                 "unknown flag --",
		"queue cat":                        "name one message",
		"queue cat A B":                    "name one message",
		"queue cat --eat":                  "unknown flag --",
		"log --since soon":                 `--since "soon" is not a time; write 2h`,
		"log --until soon":                 `--until "soon" is not a time; write 2h`,
		"log --state eaten":                `--state "eaten": write queued, held, failed, sent, delivered, bounced, complained, discarded or refused`,
		"log order 1234":                   "got order 1234; --subject finds words of the subject",
		"log --limit -1":                   "--limit -1 must not be negative",
		"backup -":                         "backup needs the name of the file",
		"queue frobnicate":                 "hint: see mailhatch queue --help",
		"log --export pdf":                 `--export "pdf": write csv, json or mbox`,
		"log --export csv --json":          "choose one",
		"log --follow --until 2h":          "--follow goes neither",
		"log A B":                          "at most one queue id",
		"log --eat":                        "unknown flag --",
		"status now":                       "status takes no arguments",
		"status --eat":                     "unknown flag --",
		"queue --state eaten":              "write queued",
		"queue release --all --limit many": "unknown flag --",
	} {
		r.check(t, line, 2, want)
	}
}

func TestNothingThere(t *testing.T) {
	r := newRig(t)
	for _, line := range []string{"queue list", "queue show X", "queue cat X", "log", "status"} {
		r.check(t, line, 1, `mailhatch: the gateway is not running and .* contains no queue\nhint: start it with mailhatch serve`)
	}
	r.check(t, "queue retry --all", 1, "the gateway is not running: .*\nhint: this needs a running gateway")
	r.config = filepath.Join(r.dir, "missing.toml")
	for _, line := range []string{"status", "queue hold X"} {
		r.check(t, line, 1, "missing.toml")
	}
}

func TestEmptyQueue(t *testing.T) {
	r := newRig(t)
	if err := r.open(t).Close(); err != nil {
		t.Fatal(err)
	}
	r.check(t, "queue", 0, `^the queue is empty\n$`)
	r.check(t, "queue --json", 0, `^$`)
	r.check(t, "log", 0, `^nothing found\n$`)
	r.check(t, "log --json", 0, `^$`)
	r.check(t, "log "+unknownID, 1, "no record of message "+unknownID)
	r.check(t, "log --id not-an-id", 1, `"not-an-id" is not a queue id`)
	r.check(t, "log --export json", 0, `^\[\]\n$`)
}

// views are commands that only look: they must say the same whether the gateway runs or not.
func (r *rig) views(t *testing.T) {
	t.Helper()
	r.check(t, "queue", 0, `(?s)^ID +STATE +UPSTREAM +AGE +NEXT +TRIES +SIZE +FROM +TO\n`+
		`ID0 +queued +main +2 h +- +0 +\d+ B +app@example.com +ann0@example.org \+1\n    the gateway is not running\n`+
		`ID1 +held +main +2 h +- +0 +.*\nID2 +failed +main +2 h +- +3 .*\n    given up: 422: no such  *\[31m address\n$`)
	r.check(t, "queue list --state held", 0, `^ID .*\nID1 .*\n$`)
	r.check(t, "queue list --limit 2", 0, `^ID .*\nID0 .*\n.*\nID1 .*\n$`)
	r.check(t, "queue list --upstream main --to nobody@example.org", 0, `^nothing in the queue matches\n$`)
	r.check(t, "queue list --lane main ID2", 0, `^ID .*\nID2 .*\n.*\n$`)
	r.check(t, "queue list --json", 0, `^{"id":"ID0".*}\n{"id":"ID1".*}\n{"id":"ID2".*}\n$`)
	r.check(t, "queue show ID0 ID2", 0, `(?s)^id +ID0\nenvelope from +app@example.com\nenvelope id +e-7\nfrom +App <app@example.com>\n`+
		`subject +number 0\nmessage id +<0@example.com>\nsize +\d+ B\nreceived .* \(2 h ago\) \(laptop\) as uid:app by ESMTP\n`+
		`\nqueued +for main, 0 attempts\n  why +the gateway is not running\n  to +ann0@example.org \(sent to ann\)\n  to +bob@example.org\n`+
		`\nid +ID2\n.*\nfailed +for main, 3 attempts, the last 1 min ago\n.*  last error +permanent: 422: no such.*`+
		`  uncertain +main may have accepted it already.*  passed +relay\n$`)
	r.check(t, "queue show ID1 --json", 0, `^{"id":"ID1",.*"state":"held","upstream":"main".*}\n$`)
	r.check(t, "queue show ZZ", 1, "no such message in the queue: ZZ\nhint: mailhatch queue list shows the ids")
	r.check(t, "queue cat ID1", 0, "^Subject: number 1\r\n\r\nbody 1\r\n$")
	r.check(t, "queue list ZZ", 1, "no such message in the queue: ZZ\nhint: mailhatch queue list shows the ids")
	r.check(t, "queue list ID0 ZZ --json", 1, "no such message in the queue: ZZ")
	r.check(t, "queue cat ZZ", 1, "no such message in the queue: ZZ")
	r.check(t, "log ID2", 0, `(?s)^TIME +ID +STATE +UPSTREAM +FROM +TO\n\d{4}-.* ID2 +failed +main +app@example.com +ann2@example.org \(ann\)\n    422`)
	r.check(t, "log --to ann* --since 30m", 0, `^TIME.*\n.*ID2.*\n.*422.*\n$`)
	r.check(t, "log --from app@* --to bob@example.org --json", 0, `^({.*"to":"bob@example.org".*}\n){3}$`)
	r.check(t, "log --id ID0 --limit 1", 0, `^TIME.*\n.*ID0 +queued.*\n    the gateway is not running\n$`)
}

// A gateway that was started with another run_dir is found by what it left in its state directory.
func TestRunDirOfAnotherConfig(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close() //nolint:errcheck // the directory goes
	r.check(t, "reload", 1, "the gateway is not running: .*\nhint: .*another state_dir .* needs a restart")
	defer r.serve(t, q)()
	if err := sock.Note(r.dir, filepath.Join(r.dir, sock.Name)); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("state_dir = %q\nrun_dir = %q\n", r.dir, filepath.Join(r.dir, "elsewhere"))
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.check(t, "status", 0, "running for 2 d")
	r.check(t, "healthcheck", 0, "^ok\n$")
}

func TestViewsWhileStopped(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	r.fill(t, q)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	r.views(t)
	r.check(t, "status", 0, `(?s)^the gateway is not running.*queued +1 +\d+ B +2 h\nheld +1 .*failed +1 `)
	r.check(t, "status --json", 0, `^{"running":false,.*}\n$`)
	for _, action := range []string{"retry", "hold", "release", "delete"} {
		r.check(t, "queue "+action+" --all", 1, "the gateway is not running: .*\nhint: this needs a running gateway")
	}
}

func TestViewsWhileRunning(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close()
	r.fill(t, q)
	defer r.serve(t, q)()
	r.views(t)
	r.check(t, "queue list --upstream other", 1, `^mailhatch: no upstream "other"; the upstreams are main\n`)
	r.check(t, "status", 0, `(?s)^mailhatch 1.2 on gw, running for 2 d\nnot ready: a listener is not open\n\n`+
		`UPSTREAM +TYPE +STATE +IN FLIGHT +RATE +QUEUED +NEXT\nmain +resend +closed +2/16 +2.5/s +1 +in 1 min\n`+
		`    closed for 1 h: account; next probe in 1 min\n    120 of 300/d left until [-0-9]+ [:0-9]+\n    last error: 401: key is invalid\n\nQUEUE +PARTS +SIZE +OLDEST\nqueued +1 `)
	_, out, _ := r.run(t, "status", "--json")
	var s api.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || !s.Running || s.Upstreams[0].Rate != 2.5 || s.Queue[envelope.Failed].Parts != 1 {
		t.Errorf("%v %s", err, out)
	}
	_, _, errs := r.run(t, "log", "--limit", "2")
	if !strings.Contains(errs, "the list is truncated") {
		t.Errorf("no word of more: %q", errs)
	}
}

// TestHoldInFlight: mail that is being offered may be sent all the same.
func TestHoldInFlight(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close()
	r.fill(t, q)
	defer r.serve(t, q)()
	r.check(t, "queue retry ID0 --wait 0", 0, "^1 message due now, 2 recipients\n")
	if leases, err := q.Claim(t.Context(), "main", 1, time.Minute); err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	code, out, errs := r.run(t, "queue", "hold", r.ids[0])
	if code != 0 || out != "1 message held, 2 recipients\n" ||
		errs != "hint: 2 recipients are being offered right now, and held only if the upstream does not take the mail\n" {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

func TestSteer(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close()
	r.fill(t, q)
	defer r.serve(t, q)()
	r.check(t, "queue retry ID2 --json", 0, `^{"changed":1,"recipients":2}\n$`)
	r.check(t, "queue list --state queued", 0, `^ID .*\nID0 .*\n.*\nID2 .*\n.*\n.*last error: 422.*\n$`)
	r.ids = append(r.ids, strings.ToLower(r.ids[0]))
	r.check(t, "queue hold ID3 ID2", 0, `^2 messages held, 4 recipients\n$`)
	r.check(t, "queue release ID0 ZZ", 1, "no such message in the queue: ZZ\nhint: mailhatch queue list shows the ids")
	r.check(t, "queue list --state held", 0, `^ID .*\nID1 .*\nID2 .*\n    held by .+ at .*\n.*last error.*\n$`)
	r.check(t, "queue release --all --upstream main", 0, `^4 recipients of 2 messages released\n$`)
	r.check(t, "queue delete ID1", 0, `^1 message deleted, 2 recipients\n$`)
	r.check(t, "log ID1", 0, `ID1 +discarded .*ann1@example.org`)
	r.check(t, "queue delete --all --state queued", 0, `^4 recipients of 2 messages deleted\n$`)
	r.check(t, "queue", 0, `^the queue is empty\n$`)
	r.check(t, "queue delete ZZ --json", 1, "no such message in the queue: ZZ")
}

func TestQueueHelp(t *testing.T) {
	r := newRig(t)
	for _, line := range []string{"queue help", "queue --help"} {
		r.check(t, line, 0, `(?s)^usage: mailhatch queue.*list .*show .*cat .*retry .*hold .*release .*delete `)
	}
}

// TestBulkChangesActOnParts: recipients that --state and --upstream do not name stay as they are.
func TestBulkChangesActOnParts(t *testing.T) {
	r := newRig(t)
	q := r.open(t)
	defer q.Close() //nolint:errcheck // the directory goes
	d, err := q.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := []envelope.Recipient{{Address: "failed@example.org"}, {Address: "deferred@example.org"}, {Address: "relayed@example.org"}}
	later := time.Now().Add(time.Hour)
	err = d.Commit(t.Context(), queue.Accepted{Envelope: envelope.Envelope{From: "app@example.com", To: to, Received: time.Now()}, Parts: []queue.Part{
		{To: to[:1], Lane: "main", State: envelope.Failed},
		{To: to[1:2], Lane: "main", State: envelope.Queued, NextAt: later},
		{To: to[2:], Lane: "relay", State: envelope.Queued, NextAt: later},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.serve(t, q)()
	r.check(t, "queue hold --all --upstream relay", 0, "^1 recipient of 1 message held\n$")
	r.check(t, "queue delete --state failed", 0, "^1 recipient of 1 message deleted\n$")
	r.check(t, "queue list --json", 0, `^{.*"state":"queued","upstream":"main",.*"deferred@example.org".*"state":"held","upstream":"relay",.*"relayed@example.org".*}\n$`)
	r.check(t, "log --to failed@*", 0, "discarded")
}

// TestDeedWords: who is asked whether to go on is told where mail would go.
func TestDeedWords(t *testing.T) {
	for want, sel := range map[string]api.Selection{"move to relay": {Target: "relay"}, "move back to the routes": {Back: true}, "move": {}} {
		if got := deedWords(api.Move, &sel); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
