// Package cost measures what hostile mail costs, from the door to each kind of upstream.
package cost

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/smtpd"
	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
)

// settingsOf returns the settings of a kind's testdata, led to a provider that discards what it gets.
func settingsOf(tb testing.TB, kind, api string, relay net.Addr) string {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("../../upstream", kind, "testdata/settings.toml"))
	if err != nil {
		if raw, err = os.ReadFile(filepath.Join("../../upstream/local/testdata", kind, "settings.toml")); err != nil {
			tb.Fatal(err)
		}
		return strings.ReplaceAll(string(raw), "TEMPDIR", filepath.ToSlash(tb.TempDir()))
	}
	if kind == "smtp" {
		return fmt.Sprintf("host = '127.0.0.1'\nport = %d\ntls = 'none'\n", relay.(*net.TCPAddr).Port)
	}
	text := regexp.MustCompile(`(?m)^base_url = .*\n?`).ReplaceAllString(string(raw), "") // of a provider that has none of its own
	tables := strings.NewReplacer("[oauth2]\n", fmt.Sprintf("[upstream.%s.oauth2]\ntoken_url = %q\n", kind, api+tokenPath))
	return fmt.Sprintf("base_url = %q\n", api) + tables.Replace(text)
}

const tokenPath = "/token"

// rig is a gateway's rooms without its sockets, with an upstream of each kind.
type rig struct {
	cfg  *config.Config
	door smtpd.Handler
}

// rules ask of all that a message has, and change much of it.
const rules = `
[[rewrite]]
header = { "X-A" = "*b*b*c*", "Subject" = "*" }
remove_header = ["X-Internal-*"]
[[rewrite]]
to = "*3@*"
set_header = { "X-Tag" = "seen" }
redirect_to = ["three@example.org"]
add_bcc = ["copy@example.org"]
[[rewrite]]
subject_prefix = "[app]"
[[route]]
header = { "Subject" = "*x*y*z*", "X-A" = "*a*a*a*b" }
hold = true
[[route]]
header_from = ["*@nowhere.example"]
hold = true
`

func newRig(tb testing.TB) *rig {
	tb.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == tokenPath {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"token","token_type":"Bearer","expires_in":3600}`)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	tb.Cleanup(api.Close)
	relay := discardingRelay(tb)
	dir := tb.TempDir()
	var text strings.Builder
	fmt.Fprintf(&text, "hostname = \"gw.example.com\"\nstate_dir = %q\n[aliases]\nroot = [\"ann@example.org\", \"root1\"]\nroot1 = \"bob@example.org\"\n", dir)
	var names []string
	for _, k := range kinds.Kinds() {
		fmt.Fprintf(&text, "[upstream.%s]\ntype = %q\n%s\n", k.Name, k.Name, settingsOf(tb, k.Name, api.URL, relay))
		names = append(names, fmt.Sprintf("%q", k.Name))
	}
	fmt.Fprintf(&text, "%s[[route]]\nvia = [%s]\n", rules, strings.Join(names, ", "))
	file := filepath.Join(dir, "mailhatch.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds(), Stdout: io.Discard})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cfg.Close() })
	q, err := engines.Open(tb.Context(), engines.Default, queue.Settings{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(queuetest.Start(tb, q))
	j := journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	a := &accept.Acceptor{Queue: q, Journal: j, Config: func() *config.Config { return cfg },
		Deliverer: deliver.New(q, j, nil, nil, &deliver.Config{})}
	return &rig{cfg, a.Handler(&cfg.Listeners[0])}
}

// accept hands a message to the door.
func (r *rig) accept(ctx context.Context, to []envelope.Recipient, src mime.Source) {
	env := &envelope.Envelope{From: "app@example.com", To: to}
	_, _, _ = r.door.Accept(ctx, env, io.NewSectionReader(src, 0, src.Size())) // a refusal costs no less
}

// mail reads a message as an attempt does.
func mail(tb testing.TB, to []envelope.Recipient, src mime.Source) *upstream.Mail {
	msg, err := mime.Parse(src)
	if err != nil {
		tb.Fatal(err)
	}
	return offer.NewMail("01JQUEUEID", &envelope.Envelope{From: "app@example.com"}, "app@example.com", to, msg)
}

// discardingRelay is a relay without 8BITMIME, for which all that is not ASCII has to be encoded.
func discardingRelay(tb testing.TB) net.Addr {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go converse(c)
		}
	}()
	return l.Addr()
}

func converse(c net.Conn) {
	defer c.Close() //nolint:errcheck // the test is over
	r := bufio.NewReaderSize(c, 64<<10)
	_, _ = io.WriteString(c, "220 discard\r\n")
	inData, atStart := false, true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		start := atStart
		atStart = err == nil
		switch {
		case inData && start && string(line) == ".\r\n":
			inData = false
			_, _ = io.WriteString(c, "250 kept nothing\r\n")
		case inData:
		case bytes.HasPrefix(line, []byte("EHLO")):
			_, _ = io.WriteString(c, "250-discard\r\n250-PIPELINING\r\n250 SIZE\r\n")
		case bytes.HasPrefix(line, []byte("DATA")):
			inData = true
			_, _ = io.WriteString(c, "354 go on\r\n")
		default:
			_, _ = io.WriteString(c, "250 ok\r\n")
		}
	}
}
