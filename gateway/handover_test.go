package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue"
	"mailhatch/upstream/upstreamtest"
)

const plainMail = "From: x@example.com\nTo: a@example.org\nSubject: hi\n\nhello\n"

// resendHouse is a gateway before a fake of Resend.
func resendHouse(t *testing.T, more string) (*house, *upstreamtest.Server) {
	t.Helper()
	fake := upstreamtest.NewResend("k")
	t.Cleanup(fake.Close)
	h := newHouse(t, fmt.Sprintf("%s\n[upstream.main]\ntype = \"resend\"\napi_key = \"k\"\nbase_url = %q\n[[route]]\nvia = [\"main\"]\n", more, fake.URL))
	return h, fake
}

func TestBounceGoesToTheSender(t *testing.T) {
	h, fake := resendHouse(t, "")
	fake.Script(upstreamtest.Fault{Status: 422, Body: `{"statusCode":422,"name":"validation_error","message":"no such thing"}`})
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the bounce", func() bool { return len(fake.Accepted()) == 1 })
	b := fake.Accepted()[0]
	if len(b.Recipients) != 1 || b.Recipients[0] != "x@example.com" || !strings.Contains(b.Text, "no such thing") {
		t.Errorf("bounce to %q:\n%s", b.Recipients, b.Text)
	}
	if !strings.HasPrefix(b.Headers["Auto-Submitted"], "auto-") {
		t.Errorf("headers %v", b.Headers)
	}
	h.await("the failed mail, which is kept", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
}

func TestAliasesAndIdentity(t *testing.T) {
	fake := upstreamtest.NewResend("k")
	t.Cleanup(fake.Close)
	h := newHouse(t, fmt.Sprintf(`
[upstream.main]
type = "resend"
api_key = "k"
base_url = %q
from_domains = ["verified.example"]
rewrite_from = "App <noreply@verified.example>"
[aliases]
root = ["ops@example.org", "second@example.org"]
[identity]
domain = "example.com"
[[route]]
via = ["main"]
`, fake.URL))
	h.mustSend("cron@example.com", []string{"root", "ops@example.org"}, "From: root (Cron Daemon)\nTo: root\nSubject: job\n\nout\n")
	h.await("the mail", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	m := fake.Accepted()
	got := map[string]bool{}
	for _, one := range m {
		for _, r := range one.Recipients {
			if got[r] {
				t.Errorf("%s twice", r)
			}
			got[r] = true
		}
		if !strings.Contains(one.From, "noreply@verified.example") || !strings.Contains(one.From, "Cron Daemon") {
			t.Errorf("From %q", one.From)
		}
		if len(one.ReplyTo) != 1 || !strings.Contains(one.ReplyTo[0], "root@example.com") {
			t.Errorf("Reply-To %q", one.ReplyTo)
		}
	}
	if len(got) != 2 || !got["ops@example.org"] || !got["second@example.org"] {
		t.Errorf("recipients %v", got)
	}
}

func TestRefusedAtAcceptance(t *testing.T) {
	h, fake := resendHouse(t, "[[listener]]\naddress = \"ADDR\"\nmax_message = \"2MB\"")
	for _, c := range []struct{ name, msg, want string }{
		{"a loop", strings.Repeat("Received: from x by y; Mon, 2 Nov 2026 10:00:00 +0000\n", identity.MaxHops) + plainMail, "554"},
		{"too large", plainMail + strings.Repeat("0123456789\n", 300_000), "552"},
		{"too large a header", strings.Repeat("X-A: 0123456789\n", 100_000) + plainMail, "552"},
		{"signed, and the only upstream cannot carry it", "From: x@example.com\nMIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b; micalg=pgp-sha256; protocol=\"application/pgp-signature\"\n\n--b\nContent-Type: text/plain\n\nhi\n--b\nContent-Type: application/pgp-signature\n\nsig\n--b--\n", "554 5.6.1"},
	} {
		err := h.send("x@example.com", []string{"a@example.org"}, c.msg)
		if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), `"`, ""), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if n := fake.Requests(); n != 0 {
		t.Errorf("%d requests for refused mail", n)
	}
	if left := h.waiting(envelope.Queued); len(left) != 0 {
		t.Errorf("refused mail is queued: %+v", left)
	}
}

func TestDirect(t *testing.T) {
	h, fake := resendHouse(t, "[[listener]]\naddress = \"ADDR\"\nmode = \"direct\"")
	send := func() error { return h.send("x@example.com", []string{"a@example.org"}, plainMail) }
	if err := send(); err != nil {
		t.Errorf("taken: %v", err)
	}
	fake.Script(upstreamtest.Fault{Status: 422, Body: `{"statusCode":422,"name":"validation_error","message":"bad words"}`})
	if err := send(); err == nil || !strings.HasPrefix(err.Error(), "550 ") || !strings.Contains(err.Error(), "bad words") {
		t.Errorf("refused: %v", err)
	}
	fake.Script(upstreamtest.Fault{Status: 500, Body: `{}`})
	if err := send(); err == nil || !strings.HasPrefix(err.Error(), "451 ") {
		t.Errorf("failed: %v", err)
	}
	if left := h.waiting(envelope.Queued); len(left) != 0 || len(fake.Accepted()) != 1 {
		t.Errorf("queued %+v, taken %d", left, len(fake.Accepted()))
	}
	// What became of them is known, of each once.
	var records []queue.Record
	h.await("that the client was told to come again", func() bool {
		var err error
		if records, err = h.g.queue.Search(t.Context(), queue.HistoryFilter{}); err != nil {
			t.Fatal(err)
		}
		return len(records) > 0 && strings.HasPrefix(records[0].Error, "451 ")
	})
	if len(records) != 3 {
		t.Fatalf("%+v", records)
	}
	if r := records[0]; r.State != envelope.Refused || r.Header.Subject == "" {
		t.Errorf("told to come again: %+v", r)
	}
	if r := records[1]; r.State != envelope.Refused || r.Upstream != "main" || !strings.Contains(r.Error, "bad words") || r.Attempts != 1 || r.Header.Subject == "" {
		t.Errorf("refused: %+v", r)
	}
	if r := records[2]; r.State != envelope.Sent || r.Upstream != "main" || r.ProviderID == "" || r.Recipient.Address != "a@example.org" || r.Header.Subject == "" {
		t.Errorf("taken: %+v", r)
	}
	if log := h.log.String(); strings.Count(log, "msg=accepted") != 1 {
		t.Errorf("mail that was answered with 250 is to be counted once:\n%s", log)
	}
}

func TestReload(t *testing.T) {
	h, fake := resendHouse(t, "")
	other := upstreamtest.NewSendGrid("k2")
	t.Cleanup(other.Close)
	fake.SetKey("changed")
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the refusal of the key", func() bool { return strings.Contains(h.log.String(), "upstream_closed") })

	h.write("[upstream.main]\ntype = \"resned\"\n")
	if err := h.g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "resend") {
		t.Errorf("a bad config was taken: %v", err)
	}
	if name := h.g.current.Load().Upstreams[0].Kind.Name; name != "resend" {
		t.Errorf("the old config is gone: %s", name)
	}
	h.write(fmt.Sprintf("[upstream.other]\ntype = \"sendgrid\"\napi_key = \"k2\"\nbase_url = %q\n[[route]]\nvia = [\"other\"]\n[queue]\nretry = [\"1s\"]\n", other.URL))
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(h.log.String(), "needs a restart") {
		t.Error("a restart is asked for though no listener changed")
	}
	h.mustSend("x@example.com", []string{"b@example.org"}, plainMail)
	// What waited for the closed upstream does not wait for its schedule.
	h.await("new and queued mail by the new upstream", func() bool { return len(other.Accepted()) == 2 })
}

func TestRestartKeepsQueuedMail(t *testing.T) {
	h, fake := resendHouse(t, "")
	fake.SetKey("changed")
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the refusal of the key", func() bool { return strings.Contains(h.log.String(), "msg=deferred") })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	fake.SetKey("k")
	h.start()
	if n, err := h.g.queue.Retry(t.Context(), queue.Filter{}, "root"); n.Messages != 1 || err != nil {
		t.Fatalf("retry: %d %v", n, err)
	}
	h.await("the mail", func() bool { return len(fake.Accepted()) == 1 })
}

func TestTLSAndAuth(t *testing.T) {
	_, certPEM, keyPEM := makeCertificate(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, fake := resendHouse(t, fmt.Sprintf(`[[listener]]
address = "ADDR"
tls = "starttls"
cert_file = %q
key_file = %q
auth = "required"
[[listener.user]]
name = "app"
password = "pass word"
`, certFile, keyFile))
	if err := h.send("x@example.com", []string{"a@example.org"}, plainMail); err == nil {
		t.Error("mail without AUTH was taken")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	for password, ok := range map[string]bool{"wrong": false, "pass word": true} {
		c, err := smtp.Dial(h.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.StartTLS(&tls.Config{ServerName: "localhost", RootCAs: pool}); err != nil {
			t.Fatal(err)
		}
		err = c.Auth(smtp.PlainAuth("", "app", password, "127.0.0.1"))
		if (err == nil) != ok {
			t.Errorf("password %q: %v", password, err)
		}
		if ok {
			if err := c.Mail("x@example.com"); err != nil {
				t.Error(err)
			}
		}
		c.Close()
	}
	if fake.Requests() != 0 {
		t.Error("a request was made")
	}
}

func TestUnixListener(t *testing.T) {
	path := filepath.Join(shortDir(t), "smtp.sock")
	h, fake := resendHouse(t, fmt.Sprintf("[[listener]]\naddress = \"unix:%s\"", path))
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("x@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("a@example.org"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, strings.ReplaceAll(plainMail, "\n", "\r\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h.await("the mail", func() bool { return len(fake.Accepted()) == 1 })
}

// shortDir is a directory whose sockets have names short enough for every system.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestAddressInUse(t *testing.T) {
	h, _ := resendHouse(t, "")
	cfg := *h.cfg
	cfg.StateDir = t.TempDir()
	g, err := New(context.Background(), &cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), h.addr) {
		t.Errorf("two gateways on one address: %v", err)
	}
	if _, err := New(context.Background(), h.cfg, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two gateways on one state directory: %v", err)
	}
}

func TestSecondsAfterTheLastMailShutdownEnds(t *testing.T) {
	h, _ := resendHouse(t, "")
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("an idle client kept the gateway for %v", took)
	}
}

func TestRejectedMailIsNamed(t *testing.T) {
	h, _ := resendHouse(t, "")
	if err := h.send("x@example.com", []string{"bad\x01@example.org"}, plainMail); err == nil {
		t.Error("taken")
	}
	if err := h.send("x@example.com", []string{"a@example.org"}, strings.Repeat("Received: from x by y; Mon, 2 Nov 2026 10:00:00 +0000\n", identity.MaxHops)+plainMail); err == nil {
		t.Error("taken")
	}
	h.await("the line", func() bool {
		return strings.Contains(h.log.String(), `msg=rejected stage=DATA code=554`) && strings.Contains(h.log.String(), `from=x@example.com to=[a@example.org]`)
	})
}

func TestMemoryIsReadOverTheAdminSocket(t *testing.T) {
	run := shortDir(t)
	h := newHouse(t, fmt.Sprintf("run_dir = %q\n[upstream.kept]\ntype = \"memory\"\n[[route]]\nvia = [\"kept\"]\n", run))
	h.mustSend("x@example.com", []string{"a@example.org", "hidden@example.org"}, plainMail)
	h.await("the mail", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(run, "admin.sock"))
	}}}
	defer client.CloseIdleConnections()
	h.mustSend("x@example.com", []string{"b@example.org"}, "Subject: latin\r\n\r\nGr\xfc\xdfe\r\n")
	h.await("the mail in Latin-1", func() bool { return len(h.ended(envelope.Sent)) == 3 })
	for name, want := range map[string]string{"kept": `"to":["a@example.org","hidden@example.org"]`, "none": "no upstream of type memory"} {
		resp, err := client.Get("http://admin/api/v1/memory/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s %v", name, b, err)
		}
		var list struct{ Messages []api.Kept }
		if err := json.Unmarshal(b, &list); err == nil && name == "kept" {
			if m := list.Messages; m[0].Raw != nil || !bytes.HasSuffix(m[1].Raw, []byte("\r\n\r\nGr\xfc\xdfe\r\n")) {
				t.Errorf("raw: %q, %q", m[0].Raw, m[1].Raw)
			}
		}
	}
}

func TestReadyNamesWhatIsNot(t *testing.T) {
	h, fake := resendHouse(t, "")
	h.await("readiness", func() bool { return len(h.g.notReady()) == 0 })
	fake.SetKey("changed")
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the closed upstream", func() bool {
		list := h.g.notReady()
		return len(list) == 1 && strings.HasPrefix(list[0], "upstream main is closed (account)")
	})
}
