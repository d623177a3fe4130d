//go:build unix

package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

// run runs a command beside a gateway and returns what it prints.
func (m *member) run(args ...string) string {
	m.town.t.Helper()
	cmd := exec.Command(m.town.program, append([]string{"-c", filepath.Join(m.dir, "config.toml")}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.town.t.Errorf("%s: mailhatch %s: %v\n%s", m.name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// mail hands one message to a gateway.
func (m *member) mail(subject, to string) {
	m.town.t.Helper()
	client, err := smtp.Dial(m.addr)
	if err == nil {
		defer client.Close() //nolint:errcheck // it was acknowledged, or not
		err = post(client, subject, []string{to})
	}
	if err != nil {
		m.town.t.Errorf("%s: %v", m.name, err)
	}
}

// await waits until something holds and returns how long that took.
func (w *town) await(what string, holds func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > patient {
			w.t.Fatalf("waited in vain for %s\n%s", what, w.logs())
		}
		time.Sleep(200 * time.Millisecond) // it may take a process each time
	}
	return time.Since(began)
}

// upstream returns how a gateway sees one of its upstreams: "open", "closed account", "closed paused"…
func (m *member) upstream(name string) string {
	var s struct {
		Upstreams []struct{ Name, State, Reason string }
	}
	if err := json.Unmarshal([]byte(m.run("status", "--json")), &s); err != nil {
		m.town.t.Error(err)
	}
	for _, u := range s.Upstreams {
		if u.Name == name {
			return strings.TrimSpace(u.State + " " + u.Reason)
		}
	}
	return ""
}

// pager is a receiver of alerts.
type pager struct {
	*httptest.Server
	mu  sync.Mutex
	got []string // event, status and gateway of each
}

func newPager(t *testing.T) *pager {
	p := &pager{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m struct {
			Data struct {
				Gateway string
				Alerts  []struct{ Event, Status, Subject string }
			}
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, a := range m.Data.Alerts {
			p.got = append(p.got, fmt.Sprint(a.Event, " ", a.Subject, " ", a.Status))
		}
		if m.Data.Gateway == "" {
			t.Errorf("an alert that names no gateway: %s", body)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *pager) count(alert string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(p.got), func(a string) bool { return a != alert }))
}

// TestLimitsOfAll: three gateways have one token, keep to one quota, know within moments what an operator has paused and
// what one of them has found out, and tell once of a closed upstream, though one of them is killed.
func TestLimitsOfAll(t *testing.T) {
	w := newTown(t, 3)
	const life = 5 * time.Second
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "app", Secret: "s", Scope: "send", Life: life})
	t.Cleanup(tokens.Close)
	login := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Mechanisms: []string{"XOAUTH2"}, Token: func(_, access string) bool { return tokens.IsValid(access) }})
	var broken atomic.Bool
	fragile := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if s.Stage == upstreamtest.SMTPMail && broken.Load() {
			return upstreamtest.SMTPReaction{Reply: "530 5.7.0 Authentication required"}
		}
		return upstreamtest.SMTPReaction{}
	}})
	few := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	alerts := newPager(t)
	w.more = fmt.Sprintf(`[upstream.login]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "starttls"
ca_file = %q
username = "app@example.com"
[upstream.login.oauth2]
provider = "custom"
flow = "client_credentials"
client_id = "app"
client_secret = "s"
scopes = ["send"]
token_url = %q
[upstream.fragile]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "none"
[upstream.few]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "none"
quota = "4/month"
[[route]]
to = ["*@login.example.org"]
via = ["login"]
[[route]]
to = ["*@fragile.example.org"]
via = ["fragile"]
[[route]]
to = ["*@few.example.org"]
via = ["few"]
[[alert]]
on = ["upstream_closed", "failed", "disk"]
after = "2s"
url = %q
`, login.Port, login.CAFile, tokens.URL, fragile.Port, few.Port, alerts.URL)
	for _, m := range w.members {
		m.start()
	}
	began, kills := time.Now(), 0
	a, b, c := w.members[0], w.members[1], w.members[2]

	a.run("upstream", "pause", "relay")
	for _, m := range []*member{b, c} {
		took := w.await("a pause at "+m.name, func() bool { return strings.HasSuffix(m.upstream("relay"), "paused") })
		t.Logf("%s knows of a pause after %v", m.name, took.Round(10*time.Millisecond))
	}
	c.run("upstream", "resume", "relay")
	w.await("its end at a", func() bool { return a.upstream("relay") == "open" })

	broken.Store(true)
	b.mail("one", "x@fragile.example.org")
	w.await("a closed upstream", func() bool { return strings.HasPrefix(b.upstream("fragile"), "closed") })
	for _, m := range []*member{a, c} {
		took := w.await("the closed upstream at "+m.name, func() bool { return m.upstream("fragile") == "closed account" })
		t.Logf("%s knows of a closed upstream after %v", m.name, took.Round(10*time.Millisecond))
	}
	w.await("an alert", func() bool { return alerts.count("upstream_closed fragile firing") > 0 })

	for i, m := range []*member{a, b, c, a, b, c} {
		m.mail(fmt.Sprint("few ", i), fmt.Sprintf("x%d@few.example.org", i))
		m.mail(fmt.Sprint("login ", i), fmt.Sprintf("x%d@login.example.org", i))
	}
	w.await("mail by a token", func() bool { return len(login.Taken()) == 6 })
	w.await("as much as a quota allows", func() bool { return len(few.Taken()) >= 4 })

	b.signal(syscall.SIGKILL)
	b.await()
	kills++
	broken.Store(false)
	a.run("upstream", "probe", "fragile")
	w.await("its recovery at c", func() bool { return c.upstream("fragile") == "open" })
	w.await("an alert that it is over", func() bool { return alerts.count("upstream_closed fragile resolved") > 0 })

	w.await("b to be missed", func() bool {
		alive := map[bool]int{}
		for line := range strings.Lines(c.run("gateways", "--json")) {
			var g struct {
				Version string
				Alive   bool
			}
			if err := json.Unmarshal([]byte(line), &g); err != nil || g.Version == "" {
				t.Errorf("%s: %v", line, err)
			}
			alive[g.Alive]++
		}
		return alive[true] == 2 && alive[false] == 1
	})
	if text := a.run("log", "--to", "*@login.example.org"); strings.Count(text, "at gateway ") < 6 {
		t.Errorf("the log does not say at which gateway:\n%s", text)
	}
	if text := c.run("queue", "show", "--to", "*@few.example.org"); strings.Count(text, "at gateway ") < 2 {
		t.Errorf("the queue does not say at which gateway:\n%s", text)
	}
	if n := len(few.Taken()); n != 4 {
		t.Errorf("%d offers, and the quota is 4", n)
	}
	for _, alert := range []string{"upstream_closed fragile firing", "upstream_closed fragile resolved"} {
		if n := alerts.count(alert); n != 1 {
			t.Errorf("told %d times: %s", n, alert)
		}
	}
	lives := int(time.Since(began)/(life*4/5)) + 1
	n := tokens.Requests()
	t.Logf("%d requests for tokens in %d lives, with %d kills", n, lives, kills)
	if n > lives+kills {
		t.Errorf("%d requests for tokens in %d lives", n, lives)
	}
}

// TestLoginForAll: who logs in beside a gateway that is stopped does so for the one that runs.
func TestLoginForAll(t *testing.T) {
	w := newTown(t, 2)
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "app", Life: time.Hour})
	t.Cleanup(tokens.Close)
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Mechanisms: []string{"XOAUTH2"}, Token: func(_, access string) bool { return tokens.IsValid(access) }})
	w.more = fmt.Sprintf(`[upstream.login]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "starttls"
ca_file = %q
username = "app@example.com"
[upstream.login.oauth2]
provider = "custom"
flow = "device"
client_id = "app"
scopes = ["send"]
token_url = %q
device_url = %q
[[route]]
to = ["*@login.example.org"]
via = ["login"]
`, relay.Port, relay.CAFile, tokens.URL, tokens.URL+"/device")
	runs, stopped := w.members[0], w.members[1]
	runs.start()
	runs.mail("one", "x@login.example.org")
	stopped.start()
	stopped.signal(syscall.SIGTERM)
	stopped.await()
	loggedIn := make(chan struct{})
	go func() {
		defer close(loggedIn)
		stopped.run("login", "login")
	}()
	w.await("the code", func() bool { return tokens.Codes() > 0 })
	tokens.Consent()
	<-loggedIn
	w.await("mail by the login", func() bool { return len(relay.Taken()) == 1 })
	if text := stopped.run("check"); strings.Contains(text, "logged in") {
		t.Errorf("who has not asked claims to know:\n%s", text)
	}
	if refused := tokens.Refusals(); len(tokens.Grants()) != 1 || refused != 0 {
		t.Errorf("%d tokens, %d refusals", len(tokens.Grants()), refused)
	}
}
