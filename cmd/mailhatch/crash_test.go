package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

const (
	crashSessions = 16
	crashFaults   = 8  // of 100 offers
	crashAtOnce   = 4  // max_concurrent of the relay: more offers cannot be in flight when the process dies
	crashBatch    = 12 // messages of one session between two deaths
)

// TestCrash kills a serving process again and again, under load and with providers that fail. What was
// acknowledged must arrive: at Resend once, at a relay once but for offers whose end nobody recorded.
func TestCrash(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	c := newCrash(t)
	for life := range rounds {
		p := c.serve(life)
		ctx, stop := context.WithCancel(t.Context())
		var sessions sync.WaitGroup
		for n := range crashSessions {
			sessions.Go(func() { c.session(ctx, life, n) })
		}
		c.awaitMoment(p, life)
		p.kill()
		stop()
		sessions.Wait()
	}
	c.calm()
	p := c.serve(rounds)
	c.awaitAll(p)
	p.terminate(t)
	c.judge(rounds)
}

// awaitMoment waits for the moment of death: after so many more acknowledgements, at a random point
// between two of them; a slow machine is given a second.
func (c *crash) awaitMoment(p *process, life int) {
	c.t.Helper()
	target := c.count() + 1 + rand.IntN(crashSessions*crashBatch*3/4)
	deadline := time.Now().Add(time.Second)
	for c.count() < target && time.Now().Before(deadline) {
		select {
		case <-time.After(time.Millisecond):
		case <-p.ended:
			c.t.Fatalf("life %d ended by itself:\n%s", life, p.log)
		}
	}
	time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond)
}

func (c *crash) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

// crash is the world around the process: clients before it, providers behind it.
type crash struct {
	t      *testing.T
	dir    string
	addr   string
	resend *upstreamtest.Server
	relay  *upstreamtest.SMTP

	mu    sync.Mutex
	ok    bool                // providers do not fail any more
	acked map[string][]string // recipients of acknowledged messages by subject
	small map[string]bool     // those that the queue may keep in the row alone
}

func newCrash(t *testing.T) *crash {
	c := &crash{t: t, dir: t.TempDir(), addr: freeport.Addr(t), resend: upstreamtest.NewResend("re_key"), acked: map[string][]string{}, small: map[string]bool{}}
	t.Cleanup(c.resend.Close)
	c.relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: c.react})
	c.script()
	return c
}

// script gives Resend a long future of random faults.
func (c *crash) script() {
	kinds := []upstreamtest.Fault{
		{Status: 500, Body: `{"statusCode":500,"name":"application_error","message":"An unexpected error occurred."}`},
		{Status: 502, Body: "<html><title>Bad Gateway</title></html>"},
		{Status: 504, Body: "<html><title>Gateway Timeout</title></html>", Accept: true},
		{Status: 429, Header: http.Header{"Retry-After": {"0"}}, Body: `{"statusCode":429,"name":"rate_limit_exceeded","message":"Too many requests"}`},
		{Drop: upstreamtest.DropBeforeBody}, {Drop: upstreamtest.DropDuringBody}, {Drop: upstreamtest.DropAfterBody},
		{Drop: upstreamtest.DropReply}, {Drop: upstreamtest.DropHalfReply},
	}
	future := make([]upstreamtest.Fault, 20000)
	for i := range future {
		if rand.IntN(100) < crashFaults {
			future[i] = kinds[rand.IntN(len(kinds))]
		}
	}
	c.resend.Script(future...)
}

// react makes the relay fail at random points of the dialog.
func (c *crash) react(step upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ok || rand.IntN(1000) >= crashFaults*3 { // a message has several steps
		return upstreamtest.SMTPReaction{}
	}
	switch step.Stage {
	case upstreamtest.SMTPRcpt:
		return upstreamtest.SMTPReaction{Reply: "451 4.3.0 try again"}
	case upstreamtest.SMTPDot:
		if rand.IntN(2) == 0 {
			return upstreamtest.SMTPReaction{Reply: "451 4.3.0 not now"}
		}
	case upstreamtest.SMTPQuit, upstreamtest.SMTPRset:
		return upstreamtest.SMTPReaction{}
	}
	return upstreamtest.SMTPReaction{Drop: true}
}

// calm ends the faults.
func (c *crash) calm() {
	c.mu.Lock()
	c.ok = true
	c.mu.Unlock()
	c.resend.Unscript()
}

// process is one life of mailhatch.
type process struct {
	cmd   *exec.Cmd
	log   *bytes.Buffer // to be read after the end
	ended chan struct{}
}

// serve starts a life; its number is in the name that it gives in EHLO.
func (c *crash) serve(life int) *process {
	c.t.Helper()
	return c.serveRoutes(life, `[[route]]
to = ["*@api.example.org"]
via = ["api"]
[[route]]
via = ["relay"]
[queue]
`)
}

// serveRoutes starts a life with other routes; they end in the table of the queue.
func (c *crash) serveRoutes(life int, routes string) *process {
	c.t.Helper()
	return c.launch(life, fmt.Sprintf(`hostname = "life-%d.example.com"
state_dir = %q
shutdown_timeout = "10s"
[[listener]]
address = %q
[upstream.api]
type = "resend"
api_key = "re_key"
base_url = %q
[upstream.relay]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "none"
max_concurrent = %d
%sretry = ["50ms", "200ms"]
[admin]
address = "off"
`, life, filepath.Join(c.dir, "state"), c.addr, c.resend.URL, c.relay.Port, crashAtOnce, routes))
}

// launch starts a life with a config.
func (c *crash) launch(life int, config string) *process {
	c.t.Helper()
	file := filepath.Join(c.dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe), log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Args = []string{"mailhatch", "serve", "-c", file} // TestMain tells by the name
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	c.t.Cleanup(p.kill)
	for {
		conn, err := net.Dial("tcp", c.addr)
		if err == nil {
			_ = conn.Close()
			return p
		}
		select {
		case <-p.ended:
			c.t.Fatalf("life %d did not start:\n%s", life, p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// session sends mail until the process is dead or the session has sent enough.
func (c *crash) session(ctx context.Context, life, n int) {
	client, err := smtp.Dial(c.addr)
	if err != nil {
		return
	}
	defer client.Close()
	for i := range crashBatch {
		if ctx.Err() != nil {
			return
		}
		subject := fmt.Sprintf("mail %d-%d-%d", life, n, i)
		var to []string
		if i%3 != 1 {
			to = append(to, subjectAddress(subject, "a", "api"), subjectAddress(subject, "b", "api"))
		}
		if i%3 != 0 {
			to = append(to, subjectAddress(subject, "c", "relay"), subjectAddress(subject, "d", "relay"))
		}
		words := 100 + rand.IntN(9000)
		if crashSend(client, subject, to, words) != nil {
			return
		}
		c.mu.Lock()
		c.acked[subject], c.small[subject] = to, words < 2000
		c.mu.Unlock()
	}
}

func subjectAddress(subject, who, where string) string {
	return who + "." + strings.ReplaceAll(subject, " ", ".") + "@" + where + ".example.org"
}

func crashSend(client *smtp.Client, subject string, to []string, words int) error {
	if err := client.Mail("app@example.com"); err != nil {
		return err
	}
	for _, rcpt := range to {
		if err := client.Rcpt(rcpt); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: app@example.com\r\nTo: %s\r\nSubject: %s\r\n\r\n%s\r\n", to[0], subject, strings.Repeat("text ", words))
	return w.Close() // gives the reply to the final dot
}

// arrivals counts messages at the providers by recipient.
func (c *crash) arrivals() (api map[string]int, relay map[string][]upstreamtest.SMTPTransaction) {
	api, relay = map[string]int{}, map[string][]upstreamtest.SMTPTransaction{}
	for _, m := range c.resend.Accepted() {
		for _, to := range m.Recipients {
			api[to]++
		}
	}
	for _, m := range c.relay.Taken() {
		for _, to := range m.Recipients() {
			relay[to] = append(relay[to], m)
		}
	}
	return api, relay
}

// awaitAll waits until no acknowledged recipient is missing.
func (c *crash) awaitAll(p *process) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		missing := c.missing()
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.kill()
			c.t.Fatalf("%d acknowledged recipients got nothing, such as %s; refused by the fakes: %q %q\n%s",
				len(missing), missing[0], c.resend.Rejected(), c.relay.Faults(), p.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *crash) missing() []string {
	api, relay := c.arrivals()
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for _, to := range c.acked {
		for _, rcpt := range to {
			if api[rcpt] == 0 && len(relay[rcpt]) == 0 {
				missing = append(missing, rcpt)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// judge counts what arrived more than once.
func (c *crash) judge(deaths int) {
	c.t.Helper()
	api, relay := c.arrivals()
	for rcpt, n := range api {
		if n != 1 {
			c.t.Errorf("%s got %d mails by Resend", rcpt, n)
		}
	}
	cut, uncertain := map[string]map[string]bool{}, 0 // messages that each life had delivered and not recorded
	for rcpt, mails := range relay {
		lives := map[string]bool{}
		for i, m := range mails {
			if !m.Answered {
				uncertain++
				continue // the gateway cannot know: at least once
			}
			if lives[m.Helo] {
				c.t.Errorf("%s got two mails in the life of %s", rcpt, m.Helo)
			}
			lives[m.Helo] = true
			if answeredLater(mails[i+1:]) {
				if cut[m.Helo] == nil {
					cut[m.Helo] = map[string]bool{}
				}
				cut[m.Helo][rcpt[2:]] = true // all recipients of one message
			}
		}
	}
	doubles := 0
	for life, messages := range cut {
		doubles += len(messages)
		if len(messages) > crashAtOnce {
			c.t.Errorf("%d messages of %s were offered again, though %d can have been in flight", len(messages), life, crashAtOnce)
		}
	}
	for _, f := range c.resend.Rejected() {
		c.t.Errorf("Resend refused: %s", f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.acked) < deaths*crashSessions/2 {
		c.t.Errorf("only %d messages acknowledged in %d lives: that is no load", len(c.acked), deaths)
	}
	c.t.Logf("%d messages acknowledged, %d requests at Resend, %d transactions at the relay, of these %d doubled by a kill, %d recipients by a lost reply",
		len(c.acked), c.resend.Requests(), c.relay.Count(), doubles, uncertain)
}

func answeredLater(mails []upstreamtest.SMTPTransaction) bool {
	return slices.ContainsFunc(mails, func(m upstreamtest.SMTPTransaction) bool { return m.Answered })
}

// terminate stops the process as systemd does, and expects it to end well and soon.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.kill() // Windows has no such signal
		return
	}
	select {
	case <-p.ended:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d after a stop:\n%s", code, p.log)
		}
	case <-time.After(time.Minute):
		p.kill()
		t.Errorf("it did not stop:\n%s", p.log)
	}
}
