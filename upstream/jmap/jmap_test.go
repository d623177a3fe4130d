package jmap

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

const message = "MAIL FROM:<app@example.com>\nRCPT TO:<ann@example.org>\n\nFrom: App <app@example.com>\nTo: ann@example.org\nSubject: s\nMessage-ID: <m@example.com>\n\nbody\n"

const (
	session = `{"capabilities":{"urn:ietf:params:jmap:core":{"maxSizeUpload":1000}},"accounts":{"a":{},"u1":{"accountCapabilities":{"urn:ietf:params:jmap:submission":{}}}},
"apiUrl":"/api","uploadUrl":"/upload/{accountId}/","state":"1"}`
	has = `{"sessionState":"1","methodResponses":[["Identity/get",{"list":[{"id":"i1","email":"app@example.com"}]},"identities"],
["Mailbox/query",{"ids":[]},"drafts"],["Mailbox/query",{"ids":["s"]},"sent"],["Mailbox/query",{"ids":["x"]},"other"]]}`
	blob = `{"blobId":"b1"}`
	sent = `{"sessionState":"1","methodResponses":[["Email/import",{"created":{"m":{"id":"e1"}}},"m"],["EmailSubmission/set",{"created":{"s":{"id":"s1"}}},"s"]]}`
)

// server answers in order; "" hangs up, what begins with a digit is a status.
type server struct {
	mu      sync.Mutex
	answers []string
	asked   []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	if len(s.answers) == 0 {
		w.WriteHeader(500)
		return
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	switch {
	case answer == "":
		panic(http.ErrAbortHandler)
	case strings.HasPrefix(answer, "4"):
		status, err := strconv.Atoi(answer)
		if err != nil || status < 400 {
			status = 401
		}
		w.WriteHeader(status)
	case strings.HasPrefix(answer, "/"), strings.HasPrefix(answer, "http"):
		w.Header().Set("Location", answer)
		w.WriteHeader(307)
	default:
		_, _ = w.Write([]byte(answer))
	}
}

// requests returns what was asked.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func start(t *testing.T, answers ...string) (upstream.Upstream, *server) {
	t.Helper()
	s := &server{answers: answers}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	up, err := upstreamtest.Open(Kind(), "session_url = '"+h.URL+"/session'\ntoken = 't0123456789'\n")
	if err != nil {
		t.Fatal(err)
	}
	return up, s
}

// TestSteps: what fails before the submission was sent is temporary, what may have passed it is uncertain.
func TestSteps(t *testing.T) {
	const none = upstream.Class(-1)
	for _, row := range []struct {
		name    string
		answers []string
		class   upstream.Class
		words   string
		asked   int
	}{
		{"all well", []string{session, has, blob, sent}, none, "", 4},
		{"redirected", []string{"/session", session, has, blob, sent}, none, "", 5},
		{"redirected elsewhere", []string{"https://other.example/"}, upstream.Account, "redirects elsewhere", 1},
		{"in a circle", []string{"/session", "/session", "/session", "/session"}, upstream.Account, "again and again", 3},
		{"no session", []string{""}, upstream.Temporary, "", 1},
		{"not a session", []string{"<html>"}, upstream.Account, "not a JMAP session", 1},
		{"an address for everyone to read", []string{strings.Replace(session, "/api", "http://jmap.example/api", 1)}, upstream.Account, "none for a token", 1},
		{"no right", []string{strings.Replace(session, "jmap:submission", "jmap:other", 1)}, upstream.Account, "lacks the scope", 1},
		{"no identities", []string{session, ""}, upstream.Temporary, "", 2},
		{"none at all", []string{session, `{"methodResponses":[["Mailbox/query",{"ids":["x"]},"other"]]}`}, upstream.Account, "no identity", 2},
		{"no mailbox", []string{session, `{"methodResponses":[["Identity/get",{"list":[]},"identities"]]}`}, upstream.Account, "no mailbox", 2},
		{"not for this account", []string{session, `{"methodResponses":[["error",{"type":"accountNotFound"},"identities"]]}`}, upstream.Account, "accountNotFound", 2},
		{"not JMAP", []string{session, "4"}, upstream.Account, "401", 2},
		{"too large", []string{strings.Replace(session, "1000", "10", 1), has}, upstream.Unrepresentable, "the server takes 10", 2},
		{"no upload", []string{session, has, ""}, upstream.Temporary, "", 3},
		{"an upload of something else", []string{session, has, "<html>"}, upstream.Temporary, "", 3},
		{"an upload refused", []string{session, has, "4"}, upstream.Account, "401", 3},
		{"no submission", []string{session, has, blob, ""}, upstream.Uncertain, "", 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			up, s := start(t, row.answers...)
			out := up.Send(t.Context(), upstreamtest.ParseMail(t, []byte(message)))[0]
			e, _ := out.Err.(*upstream.Error)
			switch {
			case row.class == none && out.Err == nil && out.ID == "s1":
			case e == nil || e.Class != row.class || !strings.Contains(e.Error(), row.words):
				t.Errorf("%+v", out)
			}
			if len(s.requests()) != row.asked {
				t.Errorf("asked %q", s.requests())
			}
		})
	}
}

// TestSessionIsKept until the server has another or does not know it.
func TestSessionIsKept(t *testing.T) {
	changed := strings.Replace(sent, `"1"`, `"2"`, 1)
	up, s := start(t, session, has, blob, sent, "4", session, has, blob, changed, session, has, blob, sent)
	for i := range 3 {
		if out := up.Send(context.Background(), upstreamtest.ParseMail(t, []byte(message)))[0]; out.Err != nil {
			t.Fatalf("mail %d: %v after %q", i, out.Err, s.requests())
		}
	}
	if got := strings.Join(s.requests(), ", "); strings.Count(got, "GET /session") != 3 || strings.Count(got, "POST /upload/u1/") != 4 {
		t.Error(got)
	}
}

// TestIdentity: the address of From before its domain, and that before any.
func TestIdentity(t *testing.T) {
	acc := &account{identities: []identity{{"1", "x@other.example"}, {"2", "bob@example.com"}, {"3", "*@example.com"}, {"4", "App@Example.com"}}}
	for from, want := range map[string]string{"app@example.com": "4", "new@example.com": "3", "y@other.example": "1", "z@third.example": "1"} {
		if got := acc.identity(from); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
	if got := new(account).identity("a@b.example"); got != "" {
		t.Error(got)
	}
}

// TestProbe says what is missing, and learns from each call.
func TestProbe(t *testing.T) {
	nobody := `{"methodResponses":[["Identity/get",{"list":[]},"identities"],["Mailbox/query",{"ids":["x"]},"other"]]}`
	two := `{"methodResponses":[["Identity/get",{"list":[{"id":"1","email":"a@b.example"},{"id":"2","email":"c@B.example"}]},"identities"],["Mailbox/query",{"ids":["x"]},"other"]]}`
	up, _ := start(t, session, nobody, session, two, "4")
	for _, want := range []string{"the account has no identity", "the account has b.example;", "401"} {
		got := ""
		for _, f := range up.(upstream.Prober).Probe(t.Context(), nil) {
			got += f.Text + "\n"
		}
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestRender shows both requests, with the token hidden, and without asking anyone.
func TestRender(t *testing.T) {
	up, s := start(t)
	var b strings.Builder
	m := upstreamtest.ParseMail(t, []byte(message))
	if err := up.(upstream.Renderer).Render(m, &b); err != nil || up.(upstream.Preflighter).Preflight(m) != nil || len(s.requests()) > 0 {
		t.Fatal(err, s.requests())
	}
	for _, want := range []string{"/{uploadUrl}", "Content-Type: message/rfc822", "/{apiUrl}", `"rcptTo":[{"email":"ann@example.org"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "t0123456789") {
		t.Error("the token is shown")
	}
}

// TestSettings: the session's address alone, base_url alone, and both.
func TestSettings(t *testing.T) {
	for settings, want := range map[string]string{
		"token = 't'\nsession_url = 'https://a.example/jmap/session'": "",
		"token = 't'\nbase_url = 'https://a.example/'":                "",
		"token = 't'": "is missing",
		"token = 't'\nsession_url = 'http://a.example/jmap/session'": "must be https://",
		"token = 't'\nsession_url = 'https://u@a.example/'":          "must not have a user",
		"token = 't'\nsession_url = 'a.example'":                     "must be an https:// address",
		"session_url = 'https://a.example/jmap/session'":             "is missing",
	} {
		_, err := upstreamtest.Open(Kind(), settings)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", settings, err, want)
		}
	}
}

// TestRefused: the submission, the token, and the only recipient.
func TestRefused(t *testing.T) {
	up, s := start(t, session, has, blob, `{"methodResponses":[["error",{"type":"forbidden"},"s"]]}`, "4", "4")
	for range 2 {
		if out := up.Send(t.Context(), upstreamtest.ParseMail(t, []byte(message)))[0]; out.Err == nil || out.Err.(*upstream.Error).Class != upstream.Account {
			t.Errorf("%+v after %q", out, s.requests())
		}
	}
	up, _ = start(t, session, has, blob, `{"sessionState":"1","methodResponses":[["EmailSubmission/set",{"notCreated":{"s":{"type":"invalidRecipients","invalidRecipients":["ann@example.org"]}}},"s"]]}`)
	if out := up.Send(t.Context(), upstreamtest.ParseMail(t, []byte(message)))[0]; out.Err == nil || out.Err.(*upstream.Error).Code != "5.1.3" {
		t.Errorf("%+v", out)
	}
}

// polled is a page of no submissions, of a session.
func polled(state string) string {
	return `{"sessionState":"` + state + `","methodResponses":[["EmailSubmission/query",{"ids":[]},"query"],["EmailSubmission/get",{"list":[]},"get"],["Email/get",{"list":[]},"emails"]]}`
}

// TestSessionIsForgotten: polls read a session that does not hold any more anew, before the next one.
func TestSessionIsForgotten(t *testing.T) {
	for _, c := range []struct{ answer, what string }{{"404", "GET /session"}, {"403", "GET /session"}, {polled("2"), "GET /session"}, {polled("1"), "POST /api"}, {"429", "POST /api"}} {
		up, s := start(t, session, has, polled("1"), c.answer, session, has, polled("1"))
		f := up.(upstream.Feedback)
		_, err := f.Poll(t.Context(), upstream.Ask{})
		_, again := f.Poll(t.Context(), upstream.Ask{})
		_, _ = f.Poll(t.Context(), upstream.Ask{})
		if got := s.requests(); err != nil || (again != nil) != (len(c.answer) == 3) || len(got) < 5 || got[4] != c.what {
			t.Errorf("after %.20s: %v, %v, %q", c.answer, err, again, got)
		}
	}
}

// TestTrace: submissions tell who was sent to; where the server has forgotten them, a mail among those sent is a riddle.
func TestTrace(t *testing.T) {
	const (
		drafts  = `{"sessionState":"1","methodResponses":[["Identity/get",{"list":[{"id":"i1","email":"app@example.com"}]},"identities"],["Mailbox/query",{"ids":["d"]},"drafts"]]}`
		found   = `{"sessionState":"1","methodResponses":[["EmailSubmission/query",{"ids":["s1","s2"]},"query"],["EmailSubmission/get",{"list":[{"id":"s1","emailId":"e1","envelope":{"rcptTo":[{"email":"Ann@example.org"}]}},{"id":"s2","emailId":"e2","envelope":{"rcptTo":[{"email":"bob@example.org"}]}}]},"get"],["Email/get",{"list":[{"id":"e1","messageId":["m@example.com"]},{"id":"e2","messageId":["n@example.com"]}]},"emails"]]}`
		draft   = `{"methodResponses":[["Email/query",{},"query"],["Email/get",{"list":[{"messageId":["m@example.com"],"keywords":{"$draft":true}},{"messageId":["n@example.com"]}]},"get"]]}`
		gone    = `{"methodResponses":[["Email/query",{},"query"],["Email/get",{"list":[{"messageId":["m@example.com"],"keywords":{"$seen":true}}]},"get"]]}`
		refused = `{"methodResponses":[["error",{"type":"unsupportedFilter"},"query"]]}`
	)
	for _, c := range []struct {
		name    string
		answers []string
		want    string // ids, or the error
	}{
		{"found", []string{session, drafts, found}, "s1 -"},
		{"never submitted", []string{session, drafts, polled("1"), draft}, "- -"},
		{"forgotten", []string{session, drafts, polled("1"), gone}, "no submission of it any more"},
		{"no drafts", []string{session, has, polled("1")}, "- -"},
		{"no search", []string{session, drafts, polled("1"), refused}, "unsupportedFilter"},
		{"not asked", []string{session, drafts, polled("1"), "403"}, "403"},
		{"nonsense", []string{session, drafts, `{"methodResponses":[["EmailSubmission/get",7,"get"]]}`}, "cannot be read"},
		{"no emails", []string{session, drafts, strings.Replace(found, `"emails"`, `"other"`, 1)}, "has no Email/get"},
		{"other lists", []string{session, drafts, strings.Replace(found, `[{"id":"s1"`, `[7,{"id":"s1"`, 1)}, "the submissions cannot be read"},
		{"no session", []string{""}, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up, _ := start(t, c.answers...)
			m := upstreamtest.NewMail(t, "Message-ID: <m@example.com>\r\n"+upstreamtest.PlainMessage, "ann@example.org", "bob@example.org")
			traced, err := up.(upstream.Tracer).Trace(t.Context(), m, time.Now())
			var ids []string
			for _, f := range traced {
				if f.Found != (f.ID != "") {
					t.Errorf("%+v", f)
				}
				ids = append(ids, cmp.Or(f.ID, "-"))
			}
			if got := strings.Join(ids, " "); err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q, %v, want %s", got, err, c.want)
			}
		})
	}
	up, _ := start(t, session, has)
	if _, err := up.(upstream.Tracer).Trace(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "ann@example.org"), time.Now()); err == nil {
		t.Error("a mail without Message-ID")
	}
	if d := up.(upstream.Tracer).TraceDelay(); d != 5*time.Minute {
		t.Error(d)
	}
	if _, err := up.(upstream.Feedback).Receive(t.Context(), nil, nil); !errors.Is(err, upstream.ErrSignature) {
		t.Error(err)
	}
}
