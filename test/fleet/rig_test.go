// Package fleet tests several gateways on one queue as whole programs: killed, stopped, rolled to other configs, and with
// a database that is restarted.
package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/queue/postgres/postgrestest"
	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

const (
	lease   = 10 * time.Second
	atOnce  = 4 // max_concurrent of the relay: more offers of one gateway cannot be in flight when it dies
	patient = 3 * time.Minute
)

// town is the world around the gateways: their database, clients before them and providers behind them.
type town struct {
	t       *testing.T
	dir     string
	program string
	url     string
	api     *upstreamtest.Server
	relay   *upstreamtest.SMTP
	late    *upstreamtest.Server // an upstream that only new configs know
	members []*member
	more    string // of each config

	hold atomic.Pointer[chan struct{}] // offers to the relay end when it is closed; nil: at once
	held atomic.Int32                  // offers that wait for it

	mu    sync.Mutex
	acked map[string][]string // recipients of acknowledged messages, by subject
	tried int
}

// member is one gateway over all its lives.
type member struct {
	town  *town
	name  string
	dir   string
	addr  string
	admin string
	late  bool // its config knows the late upstream
	spool bool // fallback_spool

	mu    sync.Mutex
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan struct{}
	lives int
}

func newTown(t *testing.T, gateways int) *town {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals to stop and go on")
	}
	w := &town{t: t, dir: t.TempDir(), url: server.New(t), acked: map[string][]string{}}
	w.program = filepath.Join(w.dir, "mailhatch")
	if out, err := exec.Command("go", "build", "-o", w.program, "mailhatch/cmd/mailhatch").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	w.api, w.late = upstreamtest.NewResend("re_key"), upstreamtest.NewResend("re_late")
	t.Cleanup(w.api.Close)
	t.Cleanup(w.late.Close)
	w.relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(s upstreamtest.SMTPStep) (r upstreamtest.SMTPReaction) {
		if hold := w.hold.Load(); hold != nil && s.Stage == upstreamtest.SMTPDot {
			w.held.Add(1)
			<-*hold
		}
		return r
	}})
	for n := range gateways {
		m := &member{town: w, name: fmt.Sprintf("g%d", n), dir: filepath.Join(w.dir, fmt.Sprintf("g%d", n)), addr: freeport.Addr(t), admin: freeport.Addr(t)}
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
	}
	return w
}

func (m *member) config() string {
	late := ""
	if m.late {
		late = fmt.Sprintf("[upstream.late]\ntype = \"resend\"\napi_key = \"re_late\"\nbase_url = %q\n[[route]]\nto = [\"*@late.example.org\"]\nvia = [\"late\"]\n", m.town.late.URL)
	}
	return fmt.Sprintf(`hostname = "%s.example.com"
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
%s[[route]]
to = ["*@api.example.org"]
via = ["api"]
[[route]]
to = ["*@relay.example.org"]
via = ["relay"]
[queue]
engine = "postgres"
url = %q
lease = %q
fallback_spool = %v
retry = ["50ms", "200ms", "1s"]
[admin]
address = %q
[log]
format = "text"
%s`, m.name, filepath.Join(m.dir, "state"), m.addr, m.town.api.URL, m.town.relay.Port, atOnce, late, m.town.url, lease, m.spool, m.admin, m.town.more)
}

// notReady returns what a gateway says of why it is not ready; "": it is.
func (m *member) notReady() string {
	r, err := http.Get("http://" + m.admin + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	if r.StatusCode == http.StatusOK {
		return ""
	}
	return string(text)
}

// awaitReady waits until what a gateway says of itself is so.
func (m *member) awaitReady(what string, is func(notReady string) bool) {
	m.town.t.Helper()
	for deadline := time.Now().Add(patient); !is(m.notReady()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.town.t.Fatalf("%s never says %s, but %q\n%s", m.name, what, m.notReady(), m.town.logs())
		}
	}
}

// start begins a life and waits until it takes mail.
func (m *member) start() {
	m.town.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	file := filepath.Join(m.dir, "config.toml")
	if err := os.WriteFile(file, []byte(m.config()), 0o600); err != nil {
		m.town.t.Fatal(err)
	}
	m.lives++
	cmd, log, ended := exec.Command(m.town.program, "serve", "-c", file), &bytes.Buffer{}, make(chan struct{})
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		m.town.t.Fatal(err)
	}
	go func() { defer close(ended); _ = cmd.Wait() }()
	m.cmd, m.log, m.ended = cmd, log, ended
	m.town.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for {
		conn, err := net.Dial("tcp", m.addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			m.town.t.Fatalf("life %d of %s did not start:\n%s", m.lives, m.name, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// signal sends a signal to the running life.
func (m *member) signal(s os.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.town.t.Errorf("%s: %v\n%s", m.name, err, m.log)
	}
}

// await waits for the end of the running life.
func (m *member) await() {
	m.mu.Lock()
	ended := m.ended
	m.mu.Unlock()
	<-ended
}

// send hands messages to the gateways in turn until as many are acknowledged as are wanted.
func (w *town) send(ctx context.Context, want int) {
	var sessions sync.WaitGroup
	for n := range 8 {
		sessions.Go(func() {
			for i := n; ctx.Err() == nil && w.count() < want; i++ {
				w.session(w.members[i%len(w.members)], want)
			}
		})
	}
	sessions.Wait()
}

func (w *town) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// perSession is how many messages a client sends before it goes to the next gateway.
const perSession = 25

// session sends some messages to a gateway, or until one is not acknowledged.
func (w *town) session(m *member, want int) {
	conn, err := net.DialTimeout("tcp", m.addr, time.Second)
	if err != nil {
		time.Sleep(50 * time.Millisecond)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a gateway that is stopped says nothing
	client, err := smtp.NewClient(conn, m.addr)
	if err != nil {
		return
	}
	for range perSession {
		w.mu.Lock()
		w.tried++
		subject := fmt.Sprintf("mail-%d", w.tried)
		w.mu.Unlock()
		to := []string{subject + "@api.example.org"}
		switch rand.IntN(3) {
		case 0:
			to = []string{subject + "@relay.example.org"}
		case 1:
			to = append(to, "also."+subject+"@relay.example.org")
		}
		if m.late && rand.IntN(4) == 0 {
			to = []string{subject + "@late.example.org"}
		}
		if err := post(client, subject, to); err != nil {
			return
		}
		w.mu.Lock()
		w.acked[subject] = to
		enough := len(w.acked) >= want
		w.mu.Unlock()
		if enough {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
}

func post(client *smtp.Client, subject string, to []string) error {
	if err := client.Mail("app@example.com"); err != nil {
		return err
	}
	for _, rcpt := range to {
		if err := client.Rcpt(rcpt); err != nil {
			return err
		}
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(data, "From: app@example.com\r\nTo: %s\r\nSubject: %s\r\n\r\n%s\r\n", to[0], subject, strings.Repeat("text ", 100+rand.IntN(800)))
	return data.Close()
}

// arrivals counts what the providers took, by recipient.
func (w *town) arrivals() map[string]int {
	got := map[string]int{}
	for _, s := range []*upstreamtest.Server{w.api, w.late} {
		for _, m := range s.Accepted() {
			for _, to := range m.Recipients {
				got[to]++
			}
		}
	}
	for _, m := range w.relay.Taken() {
		for _, to := range m.Recipients() {
			got[to]++
		}
	}
	return got
}

// missing returns acknowledged recipients that got nothing.
func (w *town) missing() (list []string) {
	got := w.arrivals()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, to := range w.acked {
		for _, rcpt := range to {
			if got[rcpt] == 0 {
				list = append(list, rcpt)
			}
		}
	}
	slices.Sort(list)
	return list
}

// logs returns the ends of what the gateways said.
func (w *town) logs() string {
	var all strings.Builder
	for _, m := range w.members {
		m.signal(os.Kill)
		m.await()
		text := m.log.String()
		fmt.Fprintf(&all, "--- %s, life %d\n%s\n", m.name, m.lives, text[max(0, len(text)-4000):])
	}
	return all.String()
}
