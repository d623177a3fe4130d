package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"golang.org/x/net/html"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream/kinds"
)

// house is a page of a queue that a test fills.
type house struct {
	t       *testing.T
	page    *Page
	queue   queue.Engine
	figures *figures.Figures
	status  []api.Upstream
	fleet   []queue.Gateway // on the queue; the first is this one
	catcher bool
	again   api.Resend // what was asked for last
	steered string     // what was done last to an upstream
	reload  error      // what comes of a reload
	cfg     *config.Config
}

// shown is the house as its page sees it.
type shown struct {
	queue.Engine
	house  *house
	server *admin.Server
}

func (s shown) Status(ctx context.Context) (*api.Status, error) {
	st, err := s.server.Status(ctx)
	if err == nil && len(s.house.fleet) > 0 {
		st.Gateway, st.Gateways = s.house.fleet[0].Name, s.house.fleet
	}
	return st, err
}
func (s shown) Act(ctx context.Context, a api.Action, sel api.Selection, by string) (*api.Changed, error) {
	return s.server.Act(ctx, a, sel, by)
}
func (s shown) ActOn(_ context.Context, name string, a api.UpstreamAction, by string) (*api.Upstream, error) {
	if s.house.steered = fmt.Sprint(a, " ", name, " by ", by); name == "broken" {
		return nil, errors.New("it is broken")
	}
	return &api.Upstream{}, nil
}
func (s shown) Unsuppress(ctx context.Context, r suppressed.Removal, by string) (*suppressed.Removed, error) {
	s.house.steered = fmt.Sprint("lift ", r.Addresses[0], " at ", r.Upstream, " by ", by)
	d := suppressed.Desk{List: s.Engine, Now: time.Now}
	r.Upstream = ""
	return d.Remove(ctx, r, by)
}
func (s shown) Resend(_ context.Context, _ string, ask api.Resend, _ string) (*api.Resent, error) {
	if ask.To[0] == "nobody@" {
		return nil, errors.New("nobody@ is no mailbox")
	}
	s.house.again = ask
	return &api.Resent{ID: "AGAIN"}, nil
}
func (s shown) Reload(context.Context) ([]string, error) {
	return []string{"state_dir changed"}, s.house.reload
}
func (s shown) Render(_ context.Context, m *queue.Message, upstream string, to []envelope.Recipient, w io.Writer) error {
	if upstream == "broken" {
		return errors.New("it cannot be shown")
	}
	_, err := fmt.Fprintf(w, "POST /emails of %s to %s", m.ID, to[0].Address)
	return err
}
func (s shown) Waiting(context.Context, []queue.Message) (*waiting.View, error) {
	return &waiting.View{Running: true}, nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	q, err := engines.Open(t.Context(), engines.Default, queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, queue: q, figures: figures.New(time.Now), cfg: loadConfig(t)}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- q.Run(ctx) }()
	server := admin.New(admin.Config{Queue: q, Status: func() []api.Upstream { return h.status }, Hostname: func() string { return "mail.example.com" }, Version: "1.2.3"})
	h.page = New(Config{Gateway: shown{q, h, server}, Config: func() *config.Config { return h.cfg }, Figures: h.figures, Catcher: func() bool { return h.catcher }, SMTP: func() string { return "127.0.0.1:1025" },
		Caller: func(*http.Request) access.Caller {
			return access.Caller{Level: access.Person, By: "page: ann", CSRF: "secret-of-the-form"}
		}})
	go func() { ended <- h.page.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		_ = q.Close()
	})
	return h
}

// loadConfig reads a config that has a secret and something odd.
func loadConfig(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "mailhatch.toml")
	text := fmt.Sprintf("hostname = \"mail.example.com\"\nstate_dir = %q\n[upstream.main]\ntype = \"memory\"\n[upstream.bulk]\ntype = \"resend\"\napi_key = \"re_SECRET\"\n"+
		"[[route]]\nname = \"drafts\"\nto = [\"*@drafts.example.net\"]\nhold = true\n[[route]]\nvia = [\"main\"]\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { // that others can read a secret is odd
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cfg.Close() })
	return cfg
}

// add puts a message into the queue; without parts it is gone at once.
func (h *house) add(source string, parts []queue.Part, gone ...queue.Record) string {
	h.t.Helper()
	d, err := h.queue.New(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := io.WriteString(d, strings.ReplaceAll(source, "\n", "\r\n")); err != nil {
		h.t.Fatal(err)
	}
	m := queue.Accepted{Envelope: envelope.Envelope{From: "shop@example.com", Received: time.Now()}, Parts: parts, Done: gone}
	for _, line := range strings.Split(source, "\n") {
		if s, ok := strings.CutPrefix(line, "Subject: "); ok {
			m.Header.Subject = s
		}
	}
	for _, p := range parts {
		m.Envelope.To = append(m.Envelope.To, p.To...)
	}
	for i := range gone {
		m.Envelope.To = append(m.Envelope.To, gone[i].Recipient)
		gone[i].At = time.Now()
	}
	if err := d.Commit(h.t.Context(), m); err != nil {
		h.t.Fatal(err)
	}
	return d.ID()
}

func to(addresses ...string) []envelope.Recipient {
	var list []envelope.Recipient
	for _, a := range addresses {
		list = append(list, envelope.Recipient{Address: a})
	}
	return list
}

// ask sends a request and returns the answer.
func (h *house) ask(method, target string, form url.Values) *httptest.ResponseRecorder {
	h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(h.t.Context(), method, target, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.page.ServeHTTP(w, r)
	return w
}

// see returns the text of a page that is shown, its elements checked.
func (h *house) see(target string) string {
	h.t.Helper()
	w := h.ask("GET", target, nil)
	if w.Code != http.StatusOK {
		h.t.Fatalf("%s: %d\n%s", target, w.Code, w.Body)
	}
	return h.text(target, w)
}

// text returns what people read of an answer; elements must have an end, ids must be unique.
func (h *house) text(target string, w *httptest.ResponseRecorder) string {
	h.t.Helper()
	var b strings.Builder
	var open []string
	ids := map[string]bool{}
	z := html.NewTokenizer(w.Body)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				h.t.Errorf("%s: %v have no end", target, open)
			}
			return strings.Join(strings.Fields(b.String()), " ")
		case html.TextToken:
			b.WriteString(html.UnescapeString(string(z.Text())))
		case html.StartTagToken:
			t := z.Token()
			for _, a := range t.Attr {
				if a.Key == "id" && ids[a.Val] {
					h.t.Errorf("%s: id %s is there twice", target, a.Val)
				}
				if a.Key == "id" {
					ids[a.Val] = true
				}
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					h.t.Errorf("%s: the policy forbids %s of %s", target, a.Key, t.Data)
				}
			}
			switch t.Data {
			case "meta", "link", "input", "br", "img", "path", "rect":
			default:
				open = append(open, t.Data)
			}
		case html.EndTagToken:
			if name := z.Token().Data; len(open) > 0 && open[len(open)-1] == name {
				open = open[:len(open)-1]
			} else if name != "path" && name != "rect" {
				h.t.Fatalf("%s: </%s> closes %v", target, name, open)
			}
		}
	}
}

// contains checks that a text has all of these.
func (h *house) contains(what, text string, want ...string) {
	h.t.Helper()
	for _, s := range want {
		if !strings.Contains(text, s) {
			h.t.Errorf("%s does not say %q:\n%s", what, s, text)
		}
	}
}

const plain = "Subject: Hello\nFrom: me@example.com\n\nSee https://example.com/x.\n"

// mixed is a message with everything.
const mixed = "Subject: <b>bold</b> & \"quoted\"\nX-Long: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" +
	"Content-Type: text/html\n\n<p>Hi</p><script>alert(1)</script><img src=\"http://tracker.example/x\">\n--b\n" +
	"Content-Type: text/html; name=\"a\\\"b.html\"\nContent-Disposition: attachment\n\n<script>alert(2)</script>\n--b--\n"

func part(state envelope.State, upstream string, addresses ...string) queue.Part {
	return queue.Part{State: state, Lane: upstream, To: to(addresses...)}
}

func sent(address string) queue.Record {
	return queue.Record{State: envelope.Sent, Upstream: "main", Attempts: 1, ProviderID: "P1", Recipient: envelope.Recipient{Address: address}}
}
