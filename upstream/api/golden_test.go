package api_test

import (
	"bytes"
	stdcmp "cmp"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"

	"mailhatch/mime"
	"mailhatch/mime/flowed"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

var update = flag.Bool("update", false, "write the golden requests anew")

const apiKey = "key-0123456789"

type apiKind struct {
	name     string
	settings string // without the key
	fake     func() *upstreamtest.Server
	setting  string              // the one that has the key, "" for api_key
	raw      bool                // the message travels as it is
	sevenBit bool                // as a text, so in its 7-bit form
	limit    int64               // bytes: of a raw kind's message, of another's request
	added    int                 // bytes that the header of a raw kind's message gets
	dropped  []string            // fields that a raw kind leaves out and others do not
	taken    upstreamtest.Answer // to a mail that was taken, at its shortest
	golden   []string            // the messages with golden requests; nil: all
	ahead    bool                // the message goes ahead of the request that sends, in one of its own
	modes    []string            // settings with which it judges differently, beside none
}

// composers are the kinds that differ in how they compose: raw ones share package raw, which Mailgun stands for, and
// Cloudflare for its 7-bit form.
func composers() []apiKind {
	return slices.DeleteFunc(slices.Clone(apiKinds[:]), func(k apiKind) bool { return k.raw && k.name != "mailgun" && k.name != "cloudflare" })
}

// with returns settings with a key.
func (k *apiKind) with(key string) string {
	return fmt.Sprintf("%s = '%s'\n%s", stdcmp.Or(k.setting, "api_key"), key, k.settings)
}

// rawGolden are the messages whose requests differ at raw kinds in more than the message.
var rawGolden = []string{"01-plain", "03-everything", "04-envelope-differs", "24-eai", "26-bounce", "27-control-headers", "28-no-from", "31-raw-8bit", "38-group", "58-bcc-only"}

// idKept is what the header gets where the provider replaces Message-ID.
const idKept = "X-Original-Message-ID: <m@x.org>\r\nReferences: <m@x.org>\r\n"

// apiKinds are the kinds that speak HTTP, with their fakes.
var apiKinds = [...]apiKind{
	{name: "resend", limit: 40 << 20, taken: upstreamtest.Answer{Status: 200, Body: `{"id":"1"}`},
		modes: []string{"pass_control_headers = true\n", "on_lossy = 'allow'\n"},
		fake:  func() *upstreamtest.Server { return upstreamtest.NewResend(apiKey) }},
	{name: "sendgrid", limit: 30 << 20, taken: upstreamtest.Answer{Status: 202},
		modes: []string{"pass_control_headers = true\n", "on_lossy = 'allow'\n"},
		fake:  func() *upstreamtest.Server { return upstreamtest.NewSendGrid(apiKey) }},
	{name: "mailgun", limit: 25 << 20, raw: true, taken: upstreamtest.Answer{Status: 200, Body: `{"id":"<1>","message":"Queued. Thank you."}`},
		settings: "domain = 'mg.example.com'\n",
		modes:    []string{"pass_control_headers = true\n", "test_mode = true\n"},
		fake:     func() *upstreamtest.Server { return upstreamtest.NewMailgun(apiKey, "mg.example.com") }},
	{name: "ses", limit: 40 << 20, raw: true, added: len(idKept), golden: rawGolden, taken: upstreamtest.Answer{Status: 200, Body: `{"MessageId":"1"}`},
		settings: "region = 'us-east-1'\naccess_key_id = 'AKIDEXAMPLE'\n", setting: "secret_access_key",
		modes: []string{"configuration_set = 'set'\nidentity_arn = 'arn:aws:ses:us-east-1:1:identity/example.com'\n"},
		fake:  func() *upstreamtest.Server { return fakes.NewSES(apiKey, "") }},
	{name: "postal", limit: 50 << 20, raw: true, golden: rawGolden, taken: upstreamtest.Answer{Status: 200, Body: `{"status":"success","data":{"message_id":"1"}}`},
		settings: "base_url = 'https://postal.example.com'\n",
		fake:     func() *upstreamtest.Server { return fakes.NewPostal(apiKey) }},
	{name: "postmark", limit: 10 << 20, setting: "server_token", taken: upstreamtest.Answer{Status: 200, Body: `{"ErrorCode":0,"MessageID":"1","Message":"OK"}`},
		modes: []string{"pass_control_headers = true\n", "on_lossy = 'allow'\n"},
		fake:  func() *upstreamtest.Server { return fakes.NewPostmark(apiKey) }},
	{name: "cloudflare", limit: 5 << 20, raw: true, added: len(idKept), dropped: []string{"Thread-Topic", "Thread-Index"},
		sevenBit: true, golden: append(rawGolden[:len(rawGolden):len(rawGolden)], "20-headers", "25-list", "54-thread"),
		taken:    upstreamtest.Answer{Status: 200, Body: `{"success":true,"result":{"queued":["ann@example.org"]}}`},
		settings: "account_id = 'a1'\n", setting: "api_token",
		fake: func() *upstreamtest.Server { return fakes.NewCloudflare(apiKey, "a1") }},
	{name: "sparkpost", limit: 20 << 20, raw: true, sevenBit: true, golden: rawGolden, taken: upstreamtest.Answer{Status: 200, Body: `{"results":{"id":"1"}}`},
		modes: []string{"region = 'eu'\n"},
		fake:  func() *upstreamtest.Server { return fakes.NewSparkPost(apiKey) }},
	{name: "mandrill", limit: 25 << 20, raw: true, added: len("X-MC-Track: none\r\nX-MC-PreserveRecipients: true\r\nX-MC-Metadata: {\"mailhatch_id\":\"Q\"}\r\n" + idKept), sevenBit: true, golden: rawGolden, taken: upstreamtest.Answer{Status: 200, Body: `[{"email":"ann@example.org","status":"sent"}]`},
		fake: func() *upstreamtest.Server { return fakes.NewMandrill(apiKey) }},
	{name: "brevo", limit: 20 << 20, taken: upstreamtest.Answer{Status: 201, Body: `{"messageId":"1"}`},
		modes: []string{"pass_control_headers = true\n", "on_lossy = 'allow'\n"},
		fake:  func() *upstreamtest.Server { return fakes.NewBrevo(apiKey) }},
	{name: "graph", limit: 3 << 20, raw: true, golden: rawGolden, taken: upstreamtest.Answer{Status: 202},
		settings: "user = 'app@example.com'\noauth2.tenant = 'example.com'\noauth2.client_id = 'client'\noauth2.token_url = 'BASE/token'\n", setting: "oauth2.client_secret",
		fake: func() *upstreamtest.Server { return fakes.NewGraph(apiKey) }},
	{name: "gmail", limit: 35 << 20, raw: true, golden: rawGolden, taken: upstreamtest.Answer{Status: 200, Body: `{"id":"1"}`},
		settings: "oauth2.provider = 'custom'\noauth2.flow = 'client_credentials'\noauth2.scopes = ['https://www.googleapis.com/auth/gmail.send']\n" +
			"oauth2.client_id = 'client'\noauth2.token_url = 'BASE/token'\n", setting: "oauth2.client_secret",
		fake: func() *upstreamtest.Server { return fakes.NewGmail(apiKey) }},
	{name: "jmap", limit: 50 << 20, raw: true, ahead: true, golden: []string{"01-plain", "04-envelope-differs", "26-bounce", "58-bcc-only"}, taken: upstreamtest.Answer{Status: 200, Body: jmapTaken},
		settings: "base_url = 'https://jmap.example.com'\n", setting: "token",
		fake: func() *upstreamtest.Server { return fakes.NewJMAP(apiKey) }},
}

// TestAPIKindsAreAll fails for an HTTP kind that the tests here do not range over.
func TestAPIKindsAreAll(t *testing.T) {
	for _, k := range kinds.Kinds() {
		f, ok := reflect.TypeOf(k.New()).Elem().FieldByName("Settings")
		if !ok || f.Type != reflect.TypeFor[api.Settings]() {
			continue
		}
		if !slices.ContainsFunc(apiKinds[:], func(a apiKind) bool { return a.name == k.Name }) {
			t.Errorf("%s has no fake in apiKinds (CONTRIBUTING.md)", k.Name)
		}
	}
}

// kindNamed finds a kind in the table.
func kindNamed(name string) upstream.Kind {
	all := kinds.Kinds()
	return all[slices.IndexFunc(all, func(k upstream.Kind) bool { return k.Name == name })]
}

// openKind makes an upstream from settings as they stand in the config, one a line; of a key that is there twice
// the last counts. BASE stands for base_url: some fakes have a token endpoint beside their API.
func openKind(kind, settings string) (upstream.Upstream, error) {
	var kept []string
	base := "http://127.0.0.1:1"
	for line := range strings.Lines(settings) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "base_url" {
			base = strings.Trim(value, " '\n")
		}
		kept = slices.DeleteFunc(kept, func(s string) bool { return strings.HasPrefix(s, key+"=") })
		kept = append(kept, line)
	}
	return upstreamtest.Open(kindNamed(kind), strings.ReplaceAll(strings.Join(kept, ""), "BASE", base))
}

func mustOpen(t *testing.T, kind, settings string) upstream.Upstream {
	t.Helper()
	up, err := openKind(kind, settings)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := up.(io.Closer); ok {
		t.Cleanup(func() { _ = c.Close() })
	}
	return up
}

func makeMail(t *testing.T, message string, to ...string) *upstream.Mail {
	t.Helper()
	raw := "MAIL FROM:<app@example.com>\n"
	for _, a := range to {
		raw += "RCPT TO:<" + a + ">\n"
	}
	return upstreamtest.ParseMail(t, []byte(raw+"\n"+message))
}

func readMails(t *testing.T) map[string]*upstream.Mail {
	t.Helper()
	files, err := filepath.Glob("../testdata/mail/*.mail")
	if err != nil || len(files) < 60 {
		t.Fatalf("only %d messages: %v", len(files), err)
	}
	out := map[string]*upstream.Mail{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".mail")] = upstreamtest.ParseMail(t, raw)
	}
	return out
}

// TestGoldenRequests renders every message for every API, compares the requests with the golden ones and
// sends it to a strict fake.
func TestGoldenRequests(t *testing.T) {
	for _, kind := range apiKinds {
		for name, m := range readMails(t) {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				var got bytes.Buffer
				up := mustOpen(t, kind.name, kind.with(apiKey))
				if err := up.(upstream.Renderer).Render(m, &got); err != nil {
					fmt.Fprintf(&got, "none: %v\n", err)
				}
				if kind.golden == nil || slices.Contains(kind.golden, name) {
					upstreamtest.CompareGolden(t, filepath.Join("..", kind.name, "testdata", name+".golden"), got.Bytes(), *update)
				}
				if strings.Contains(got.String(), apiKey) {
					t.Error("the key is shown")
				}
				fake := kind.fake()
				defer fake.Close()
				up = mustOpen(t, kind.name, kind.with(apiKey)+"base_url = '"+fake.URL+"'\n")
				preflight := up.(upstream.Preflighter).Preflight(m)
				checkDelivery(t, m, up.Send(t.Context(), m), preflight, fake)
			})
		}
	}
}

// checkDelivery holds what a fake took against the mail: the envelope's recipients once each, no
// Bcc in sight, and every leaf of the message somewhere.
func checkDelivery(t *testing.T, m *upstream.Mail, outcomes []upstream.Outcome, preflight error, fake *upstreamtest.Server) {
	t.Helper()
	if broken := fake.Rejected(); len(broken) > 0 {
		t.Fatalf("the fake refused: %v", broken)
	}
	want := map[string]bool{}
	failed := 0
	for i, o := range outcomes {
		if o.Err != nil {
			failed++
			continue
		}
		if o.ID == "" {
			t.Errorf("no provider id for %s", m.To[i].Address)
		}
		want[ascii(m.To[i].Address)] = true
	}
	if (failed == len(m.To)) != (preflight != nil) {
		t.Errorf("preflight says %v, %d of %d failed", preflight, failed, len(m.To))
	}
	var got []string
	for _, msg := range fake.Accepted() {
		got = append(got, msg.Recipients...)
		checkVisible(t, m, msg)
		checkLeaves(t, m, msg)
	}
	slices.Sort(got)
	wanted := slices.Sorted(func(yield func(string) bool) {
		for a := range want {
			if !yield(a) {
				return
			}
		}
	})
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("recipients (-envelope +delivered):\n%s", diff)
	}
}

func ascii(addr string) string {
	return strings.ToLower(strings.ReplaceAll(addr, "@bücher.example", "@xn--bcher-kva.example"))
}

func checkVisible(t *testing.T, m *upstream.Mail, msg upstreamtest.Message) {
	t.Helper()
	shown := strings.ToLower(strings.Join(append(slices.Clone(msg.To), msg.Cc...), " "))
	for k, v := range msg.Headers {
		if !strings.EqualFold(k, "To") && !strings.EqualFold(k, "Cc") {
			shown += " " + strings.ToLower(v)
		}
	}
	header := strings.ToLower(m.Message.Header.Get("To") + m.Message.Header.Get("Cc") + m.Message.Header.Get("From"))
	if msg.Apart || !msg.Whole && len(msg.Recipients) == 1 {
		return // shown to themselves
	}
	for _, bcc := range m.Message.Header.Values("Bcc") {
		for _, r := range m.To {
			addr := strings.ToLower(r.Address)
			if strings.Contains(strings.ToLower(bcc), addr) && !strings.Contains(header, addr) && strings.Contains(shown, addr) {
				t.Errorf("the Bcc recipient %s is shown", addr)
			}
		}
	}
}

// checkLeaves reads the source with another parser and looks for the bytes of each leaf.
func checkLeaves(t *testing.T, m *upstream.Mail, msg upstreamtest.Message) {
	t.Helper()
	if msg.Whole {
		body := make([]byte, m.Message.Source.Size()-m.Message.BodyOffset())
		if _, err := m.Message.Source.ReadAt(body, m.Message.BodyOffset()); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if bytes.HasSuffix(msg.Raw, body) {
			return
		}
		if mime.IsASCII(body) || !mime.IsASCII(msg.Raw) {
			t.Error("the body changed")
		}
	}
	e := readEntity(t, m)
	_ = e.Walk(func(path []int, part *message.Entity, _ error) error {
		if part == nil {
			return nil
		}
		kind, params, _ := part.Header.ContentType()
		if strings.HasPrefix(kind, "multipart/") {
			return nil
		}
		var text io.Reader = part.Body
		if params["format"] == "flowed" && !msg.Whole {
			text = flowed.NewReader(text, params["delsp"] == "yes")
		}
		data, err := io.ReadAll(text)
		if err == nil && !holds(msg, data) {
			t.Errorf("part %v (%s) is lost: %.60q", path, kind, data)
		}
		return nil
	})
}

func holds(msg upstreamtest.Message, data []byte) bool {
	text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n"))
	browser := asBrowsersRead(text)
	same := func(s string) bool {
		s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
		return s == text || s == browser
	}
	within := func(s string) bool {
		s = strings.ReplaceAll(s, "\r\n", "\n")
		return slices.ContainsFunc([]string{text, browser, html.EscapeString(text)}, func(part string) bool { return strings.Contains(s, part) })
	}
	if within(msg.Text) || within(msg.HTML) {
		return true
	}
	for _, a := range msg.Alternatives {
		if same(a.Value) {
			return true
		}
	}
	for _, a := range msg.Attachments {
		if bytes.Equal(a.Data, data) || same(string(a.Data)) || strings.HasPrefix(a.Type, "text/") && same(latin(a.Data)) {
			return true
		}
	}
	return false
}

// asBrowsersRead takes what was labelled ISO-8859-1 for windows-1252, as the WHATWG's encoding standard does.
func asBrowsersRead(s string) string {
	if b, err := charmap.ISO8859_1.NewEncoder().String(s); err == nil {
		if d, err := charmap.Windows1252.NewDecoder().String(b); err == nil {
			return d
		}
	}
	return s
}

// latin reads ISO-8859-1, in which the one text file that is not UTF-8 is written.
func latin(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}
