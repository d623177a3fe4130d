package main

import (
	"bytes"
	"context"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

const (
	tokenLife    = 5 * time.Second
	tokenMails   = 2000
	tokenSenders = 4
	tokenPause   = 22 * time.Millisecond // of a sender between two mails, so that they go over several lives of tokens
)

// TestCrashOverTokens sends mail by two upstreams that log in with tokens of five seconds, one of a person's login whose
// refresh token rotates, one of a service account. The process is killed while a token is on its way to it, and the token
// endpoints are away for longer than a token lives. Nothing is lost, nobody is locked out, and no token is asked for
// before it is due but one for each kill.
func TestCrashOverTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("tokens live for seconds")
	}
	t.Parallel()
	w := newTokenCrash(t)
	w.login()
	life := 0
	p := w.serve(life)
	ctx, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for n := range tokenSenders {
		senders.Go(func() { w.send(ctx, n) })
	}
	defer senders.Wait()
	defer stop()
	// Twice in a row for the login: the refresh token of the first kill's renewal was spent, its successor was lost.
	for _, fake := range []*fakes.Tokens{w.person, w.person, w.service} {
		w.awaitRenewal(p, fake)
		life++
		p = w.serve(life)
	}
	w.awaitGrants(p, 1)
	w.outage(p)
	senders.Wait()
	w.awaitAll(p)
	p.terminate(t)
	w.judge(life)
}

// tokenCrash is the world around a process that logs in with tokens.
type tokenCrash struct {
	*crash
	person, service *fakes.Tokens
	account         string // file of the service account
	sent            atomic.Int64
	stale           atomic.Int64 // tokens that the relay refused
}

func newTokenCrash(t *testing.T) *tokenCrash {
	w := &tokenCrash{crash: newCrash(t)}
	w.calm()
	app, err := fakes.NewApplication(w.dir, "robot@project.example", time.Now().Add(time.Hour*1000))
	if err != nil {
		t.Fatal(err)
	}
	w.account = app.ServiceAccount
	w.person = fakes.NewTokens(fakes.TokenSettings{ClientID: "app-1", Life: tokenLife})
	w.service = fakes.NewTokens(fakes.TokenSettings{ClientID: "robot@project.example", Key: app.Public, Scope: "https://mail.google.com/",
		Subject: "robot@example.com", Life: tokenLife})
	t.Cleanup(w.person.Close)
	t.Cleanup(w.service.Close)
	w.relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Mechanisms: []string{"XOAUTH2"},
		Extensions: []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "LIMITS MAILMAX=5"}, // so that there are many logins
		Token: func(user, access string) bool {
			good := user == "scanner@example.com" && w.person.IsValid(access) || user == "robot@example.com" && w.service.IsValid(access)
			if !good {
				w.stale.Add(1)
			}
			return good
		}})
	return w
}

func (w *tokenCrash) config(life int) string {
	relay := fmt.Sprintf("type = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\nmax_concurrent = %d\n", w.relay.Port, crashAtOnce)
	return fmt.Sprintf(`hostname = "life-%d.example.com"
state_dir = %q
shutdown_timeout = "10s"
[[listener]]
address = %q
[upstream.person]
%susername = "scanner@example.com"
[upstream.person.oauth2]
provider = "microsoft"
flow = "device"
tenant = "example.com"
client_id = "app-1"
token_url = %q
device_url = %q
[upstream.service]
%susername = "robot@example.com"
[upstream.service.oauth2]
provider = "google"
flow = "service_account"
service_account_file = %q
subject = "robot@example.com"
token_url = %q
[[route]]
to = ["*@person.example.org"]
via = ["person"]
[[route]]
via = ["service"]
[queue]
retry = ["50ms", "200ms"]
[admin]
address = "off"
`, life, filepath.Join(w.dir, "state"), w.addr, relay, w.person.URL, w.person.URL+"/device", relay, w.account, w.service.URL)
}

func (w *tokenCrash) serve(life int) *process {
	w.t.Helper()
	return w.launch(life, w.config(life))
}

// login is the person's, before the first start.
func (w *tokenCrash) login() {
	w.t.Helper()
	file := filepath.Join(w.dir, "config.toml")
	if err := os.Mkdir(filepath.Join(w.dir, "state"), 0o700); err != nil { // for root does not make it
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(w.config(0)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(w.t.Context(), exe)
	cmd.Args = []string{"mailhatch", "-c", file, "login", "person"}
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for w.person.Codes() == 0 {
		select {
		case err := <-ended:
			w.t.Fatalf("login: %v\n%s", err, &out)
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.person.Consent()
	if err := <-ended; err != nil {
		w.t.Fatalf("login: %v\n%s", err, &out)
	}
}

// send sends mail until enough of all senders is acknowledged, whatever happens to the process.
func (w *tokenCrash) send(ctx context.Context, n int) {
	var client *smtp.Client
	for i := 0; w.sent.Load() < tokenMails; i++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(tokenPause):
		}
		if client == nil {
			var err error
			if client, err = smtp.Dial(w.addr); err != nil {
				continue
			}
		}
		subject := fmt.Sprintf("mail %d-%d", n, i)
		where := []string{"person", "service"}[i%2]
		to := []string{subjectAddress(subject, "x", where)}
		if crashSend(client, subject, to, 20) != nil {
			_ = client.Close()
			client = nil
			continue
		}
		w.mu.Lock()
		w.acked[subject] = to
		w.mu.Unlock()
		w.sent.Add(1)
	}
	if client != nil {
		_ = client.Close()
	}
}

// awaitRenewal kills the process while a token is on its way to it.
func (w *tokenCrash) awaitRenewal(p *process, fake *fakes.Tokens) {
	w.t.Helper()
	onItsWay, dead := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fake.Set(func(s *fakes.TokenSettings) {
		s.Granted = func() {
			once.Do(func() { close(onItsWay) })
			<-dead
		}
	})
	select {
	case <-onItsWay:
	case <-p.ended:
		w.t.Errorf("it ended by itself:\n%s", p.log)
	case <-time.After(time.Minute):
		w.t.Errorf("no token is renewed")
	}
	fake.Set(func(s *fakes.TokenSettings) { s.Granted = nil })
	p.kill()
	close(dead)
	if w.t.Failed() {
		w.t.Fatalf("%s", p.log)
	}
}

// awaitGrants waits until each endpoint has issued so many more tokens.
func (w *tokenCrash) awaitGrants(p *process, more int) {
	w.t.Helper()
	person, service := len(w.person.Grants())+more, len(w.service.Grants())+more
	w.await(p, "renewals", func() bool { return len(w.person.Grants()) >= person && len(w.service.Grants()) >= service })
}

// outage takes the endpoints away for longer than a token lives.
func (w *tokenCrash) outage(p *process) {
	w.t.Helper()
	drop := func(away bool) {
		for _, fake := range []*fakes.Tokens{w.person, w.service} {
			fake.Set(func(s *fakes.TokenSettings) { s.Drop = away })
		}
	}
	drop(true)
	began := time.Now()
	for time.Since(began) < tokenLife+time.Second {
		select {
		case <-p.ended:
			w.t.Fatalf("it ended while the endpoints were away:\n%s", p.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	drop(false)
}

// judge counts mails and tokens.
func (w *tokenCrash) judge(kills int) {
	w.t.Helper()
	doubles := 0
	_, arrived := w.arrivals()
	for _, mails := range arrived {
		doubles += len(mails) - 1
	}
	if doubles > kills*2*crashAtOnce {
		w.t.Errorf("%d mails came twice, though %d can have been in flight at each of %d kills", doubles, 2*crashAtOnce, kills)
	}
	for name, fake := range map[string]*fakes.Tokens{"person": w.person, "service": w.service} {
		grants, early := fake.Grants(), 0
		for i, at := range grants[1:] {
			if at.Sub(grants[i]) < tokenLife*3/4 {
				early++
			}
		}
		if early > kills {
			w.t.Errorf("%s: %d of %d tokens were asked for before they were due, %d kills excuse as many: %v", name, early, len(grants), kills, grants)
		}
		if n := fake.Refusals(); n > 0 {
			w.t.Errorf("%s: %d requests for tokens were refused", name, n)
		}
	}
	if len(w.missing()) > 0 || w.count() < tokenMails {
		w.t.Errorf("%d of %d mails are missing", len(w.missing()), w.count())
	}
	w.t.Logf("%d mails, %d of them doubled by %d kills; %d and %d tokens, %d of them refused by the relay", w.count(), doubles, kills,
		len(w.person.Grants()), len(w.service.Grants()), w.stale.Load())
}
