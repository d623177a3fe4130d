package mailq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"go.uber.org/goleak"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a queue; where many is set it has so many messages of somebody.
type fake struct {
	list []queue.Message
	many int
	fail error
}

func (f *fake) List(_ context.Context, filter queue.Filter, p queue.Page) ([]queue.Message, error) {
	var out []queue.Message
	for i := range f.list {
		m := f.list[i]
		m.Parts = append([]queue.Part{}, m.Parts...)
		if has(&m, filter.State) && m.ID > p.After {
			out = append(out, m)
		}
	}
	for i := range f.many {
		if id := fmt.Sprintf("Z%06d", i); filter.State == envelope.Queued && id > p.After && len(out) < p.Limit {
			out = append(out, message(id, "uid:eve", envelope.Queued))
		}
	}
	return out, f.fail
}

func (f *fake) Stats(context.Context) (map[envelope.State]queue.Depth, error) {
	return map[envelope.State]queue.Depth{envelope.Queued: {Parts: f.many, Bytes: 7}, envelope.Held: {Parts: 1, Bytes: 1}, envelope.Failed: {Parts: 100}}, f.fail
}

func message(id, user string, states ...envelope.State) queue.Message {
	m := queue.Message{ID: id, Size: 1000, Envelope: envelope.Envelope{From: "secret@example.com", Client: envelope.Client{User: user}}}
	for i, state := range states {
		m.Parts = append(m.Parts, queue.Part{State: state, Lane: "bulk", To: []envelope.Recipient{{Address: fmt.Sprintf("to%d@example.org", i)}}})
	}
	return m
}

func newTestServer(f *fake) *Server {
	return New(Config{Queue: f, Hostname: func() string { return "app1" }, Log: slog.New(slog.DiscardHandler),
		Why: func(context.Context, []queue.Message) (*waiting.View, error) {
			return &waiting.View{Running: true, Upstreams: map[string]gate.Status{"bulk": {Name: "bulk", State: "closed", Reason: "account", LastError: "401 for bob@example.net"}}}, nil
		},
		Maildrop: func(int) (*maildrop.Waiting, error) {
			return &maildrop.Waiting{Count: 2, Bytes: 48, Messages: []maildrop.Message{
				{ID: "mail-A", UID: uint32(os.Getuid()), Size: 24, Envelope: &envelope.Envelope{From: "me", To: []envelope.Recipient{{Address: "x@example.org"}}}},
				{ID: "mail-B", UID: 4_000_000_000, Size: 24, Envelope: &envelope.Envelope{From: "other"}}}}, nil
		},
	})
}

// TestOwnAndCounts: an account sees its own mail that waits, once, and how much there is; nothing of others.
func TestOwnAndCounts(t *testing.T) {
	me := envelope.AccountUser(uint32(os.Getuid()))
	f := &fake{list: []queue.Message{
		message("A", me, envelope.Queued, envelope.Failed), message("B", "uid:eve", envelope.Queued, envelope.Held), message("C", me, envelope.Held),
		message("D", me, envelope.Failed), message("E", "", envelope.Queued)}}
	a, err := newTestServer(f).look(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range a.Own {
		ids = append(ids, m.ID)
	}
	if want := []string{"mail-A", "A", "C"}; !reflect.DeepEqual(ids, want) || *a.Counts != (Counts{6, 4048}) || a.More || a.Hostname != "app1" {
		t.Errorf("%q, want %q; %+v %v", ids, want, a.Counts, a.More)
	}
	if p := a.Own[1].Parts; len(p) != 1 || p[0].Why == "" || strings.Contains(p[0].Why, "bob") {
		t.Errorf("why it waits: %+v", p)
	}
	f.many = maxScan + 5
	if a, err = newTestServer(f).look(t.Context(), "uid:eve"); err != nil || !a.More || len(a.Own) != maxOwn || *a.Counts != (Counts{f.many + 3, 56}) {
		t.Errorf("a long queue: %+v, %d of its own, %v", a.Counts, len(a.Own), err)
	}
	f.fail = errors.New("of bob@example.net")
	if _, err = newTestServer(f).look(t.Context(), me); !errors.Is(err, f.fail) {
		t.Errorf("%v", err)
	}
}

// TestRefusedSenderIsToldDiscreetly: an account sees that its From is refused, but not the provider's words, which may be about
// somebody else's mail.
func TestRefusedSenderIsToldDiscreetly(t *testing.T) {
	me := envelope.AccountUser(uint32(os.Getuid()))
	m := message("A", me, envelope.Queued)
	m.Parts[0].NextAt, m.Parts[0].Progress.RefusedFrom = time.Now().Add(time.Hour), "me@example.com"
	s := newTestServer(&fake{list: []queue.Message{m}})
	refused := []gate.Refused{{From: "*@example.com", Err: errors.New("403 for bob@example.net"), Until: time.Now().Add(30 * time.Minute)}}
	s.cfg.Why = func(context.Context, []queue.Message) (*waiting.View, error) {
		return &waiting.View{Running: true, Upstreams: map[string]gate.Status{"bulk": {Name: "bulk", State: "open", Refused: refused}}}, nil
	}
	a, err := s.look(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(a.Own, func(m api.Message) bool { return m.ID == "A" })
	if why := a.Own[i].Parts[0].Why; !strings.HasPrefix(why, "waits for bulk, which refuses mail from me@example.com; next try at ") || refused[0].Err == nil {
		t.Errorf("why it waits: %q", why)
	}
}

// named is a listener whose connections are those of an account.
type named struct {
	net.Listener
	account string
}

func (n named) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return accountOf{c, n.account}, nil
}

type accountOf struct {
	net.Conn
	account string
}

func (a accountOf) RemoteAddr() net.Addr { return addr(a.account) }

type addr string

func (addr) Network() string  { return "account" }
func (a addr) String() string { return string(a) }

func serve(t *testing.T, s *Server, account string) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, SocketName)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, named{l, account}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return socket
}

// TestAsk: who asks decides what the answer holds.
func TestAsk(t *testing.T) {
	f := &fake{list: []queue.Message{message("A", "uid:ann", envelope.Queued), message("B", "uid:4242", envelope.Held)}}
	for _, c := range []struct {
		account string
		counts  bool
		own     string
	}{{"ann", true, "A"}, {"uid 4242", false, "B"}, {"bob", true, ""}} {
		s := newTestServer(f)
		s.cfg.Maildrop, s.cfg.Counts = nil, func(account string) bool { return account == c.account && c.counts }
		socket := serve(t, s, c.account)
		for range 2 { // the second answer is remembered
			a, err := Ask(t.Context(), socket)
			if err != nil {
				t.Fatal(err)
			}
			own := ""
			for _, m := range a.Own {
				own += m.ID
			}
			if own != c.own || (a.Counts != nil) != c.counts || c.counts && *a.Counts != (Counts{2, 2000}) {
				t.Errorf("%s: %q, %+v", c.account, own, a.Counts)
			}
			f.fail = errors.New("not read again")
		}
		f.fail = nil
	}
	for _, account := range []string{"", "@"} {
		if _, err := Ask(t.Context(), serve(t, newTestServer(f), account)); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("nobody: %v", err)
		}
	}
	f.fail = errors.New("the row of bob@example.net")
	if _, err := Ask(t.Context(), serve(t, newTestServer(f), "ann")); err == nil || strings.Contains(err.Error(), "bob") || !strings.Contains(err.Error(), "503") {
		t.Errorf("a broken queue: %v", err)
	}
	if _, err := Ask(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
}

// TestOtherRequests: there is one question, for programs.
func TestOtherRequests(t *testing.T) {
	socket := serve(t, newTestServer(&fake{}), "ann")
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	for _, r := range []struct{ method, path, origin string }{{"POST", "/mailq", ""}, {"GET", "/api/v1/queue", ""}, {"GET", "/mailq", "http://evil.example"}} {
		req, err := http.NewRequestWithContext(t.Context(), r.method, "http://localhost"+r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.origin != "" {
			req.Header.Set("Origin", r.origin)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%+v: %s", r, resp.Status)
		}
	}
}

// TestRemembered: many accounts do not fill the memory, and an answer does not stay.
func TestRemembered(t *testing.T) {
	s := newTestServer(&fake{})
	for i := range maxAccounts + 10 {
		if _, err := s.answer(t.Context(), fmt.Sprintf("uid:%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.answers) > maxAccounts {
		t.Errorf("%d answers", len(s.answers))
	}
	s.answers = map[string]remembered{"uid:ann": {time.Now().Add(-answerLife), &Answer{Own: []api.Message{{ID: "gone"}}}}}
	if a, err := s.answer(t.Context(), "uid:ann"); err != nil || len(a.Own) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestIsMember(t *testing.T) {
	gid := os.Getgid()
	me := envelope.Account(uint32(os.Getuid()))
	if !IsMember(me, gid) || IsMember(me, 4_000_000) || IsMember("no such account", gid) || IsMember("uid 4000000000", gid) {
		t.Error("wrong")
	}
	if !IsMember(fmt.Sprintf("uid %d", os.Getuid()), gid) {
		t.Error("by its number")
	}
}
