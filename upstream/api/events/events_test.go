package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

func settings(mode string) events.Settings {
	s := events.Defaults()
	s.Mode = mode
	return s
}

// listener returns one whose webhooks show a secret.
func listener(secret string) *events.Listener {
	s := settings("off")
	s.Secret = upstream.NewSecret(secret)
	l, err := s.Open(upstream.Env{}, events.Ways{})
	if err != nil {
		panic(err) // of settings that are always good
	}
	return l
}

func TestSettings(t *testing.T) {
	all := events.Ways{Tells: upstream.Tells{Poll: true, Webhook: true}, Pace: time.Second}
	for _, row := range []struct {
		settings events.Settings
		ways     events.Ways
		key      string // at fault
		every    time.Duration
		webhook  bool
	}{
		{settings("off"), all, "", 0, false},
		{settings("poll"), all, "", time.Minute, false},
		{settings("webhook"), all, "", 0, true},
		{settings("both"), all, "", time.Minute, true},
		{settings("push"), all, "events.mode", 0, false},
		{settings("both"), events.Ways{Tells: upstream.Tells{Poll: true}}, "events.mode", 0, false},
		{settings("poll"), events.Ways{Tells: upstream.Tells{Webhook: true}}, "events.mode", 0, false},
		{events.Settings{Mode: "poll"}, all, "events.every", 0, false},
		{events.Settings{Mode: "poll", Every: upstream.Duration{Duration: 48 * time.Hour}}, all, "events.every", 0, false},
		{events.Settings{Mode: "off", Every: events.Defaults().Every, URL: "http://mail.example.com/events/main"}, all, "events.url", 0, false},
		{events.Settings{Mode: "off", Every: events.Defaults().Every, URL: "mail.example.com"}, all, "events.url", 0, false},
		{events.Settings{Mode: "webhook", Every: events.Defaults().Every, URL: "https://mail.example.com/events/main"}, all, "", 0, true},
		{events.Settings{Mode: "webhook", Every: events.Defaults().Every, URL: "http://127.0.0.1:8026/events/main"}, all, "", 0, true},
	} {
		l, err := row.settings.Open(upstream.Env{Name: "main"}, row.ways)
		var key *upstream.KeyError
		if row.key != "" {
			if !errors.As(err, &key) || key.Key != row.key {
				t.Errorf("%+v: %v", row.settings, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%+v: %v", row.settings, err)
		}
		if got := l.Listening(); got.Every != row.every || got.Webhook != row.webhook || got.URL != row.settings.URL {
			t.Errorf("%+v: %+v", row.settings, got)
		}
	}
	var none *events.Listener
	if !none.Listening().Off() {
		t.Error("a listener that is not there listens")
	}
}

func TestSecretThatIsKept(t *testing.T) {
	env := upstream.Env{Name: "main", TokenDir: filepath.Join(t.TempDir(), "tokens")}
	s := settings("off")
	l, err := s.Open(env, events.Ways{})
	if err != nil || l.Secret() != "" {
		t.Fatal(err)
	}
	if err := events.KeepSecret(env, upstream.NewSecret("whsec_abc")); err != nil {
		t.Fatal(err)
	}
	if got := l.Secret(); got != "whsec_abc" {
		t.Errorf("%q is kept", got)
	}
	if info, err := os.Stat(events.SecretFile(env)); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Error(info.Mode(), err)
	}
	s.Secret = upstream.NewSecret("given")
	if l, err = s.Open(env, events.Ways{}); err != nil || l.Secret() != "given" {
		t.Error("the config's own secret does not win", err)
	}
	for _, bad := range []upstream.Env{{Name: "main"}, {Name: "../x", TokenDir: env.TokenDir}, {TokenDir: env.TokenDir}} {
		if err := events.KeepSecret(bad, upstream.NewSecret("x")); err == nil {
			t.Errorf("%+v has a place", bad)
		}
	}
	if err := events.KeepSecret(upstream.Env{Name: "main", TokenDir: events.SecretFile(env)}, upstream.NewSecret("x")); err == nil {
		t.Error("a file is taken for a folder")
	}
}

func TestSweep(t *testing.T) {
	now := time.Date(2025, 6, 2, 12, 0, 0, 0, time.UTC)
	begin := func(since upstream.Cursor, at time.Time) events.Sweep {
		return events.Begin(upstream.Ask{Since: since, Oldest: now.Add(-6 * time.Hour)}, at, 24*time.Hour)
	}
	first := begin("", now)
	if !first.To.Equal(now) || !first.From.Before(now.Add(-6*time.Hour)) || first.Page != "" {
		t.Errorf("the first: %+v", first)
	}
	rest := begin(first.Next("token with blanks"), now.Add(time.Minute))
	if rest.Page != "token with blanks" || !rest.To.Equal(first.To) || !rest.From.Equal(first.From) {
		t.Errorf("its rest: %+v", rest)
	}
	next := begin(rest.Next(""), now.Add(time.Minute))
	if back := now.Sub(next.From); back <= 0 || back > 10*time.Minute || !next.To.Equal(now.Add(time.Minute)) {
		t.Errorf("the next: %+v", next)
	}
	deep := begin(next.Next(""), now.Add(31*time.Minute))
	if back := next.To.Sub(deep.From); back < 30*time.Minute {
		t.Errorf("now and then it goes far back: %+v", deep)
	}
	if after := begin(deep.Next(""), now.Add(32*time.Minute)); deep.To.Sub(after.From) > 10*time.Minute {
		t.Errorf("but not each time: %+v", after)
	}
	stale := begin(first.Next("token"), now.Add(2*time.Hour))
	if stale.Page != "" || !stale.From.Equal(first.From) || !stale.To.Equal(now.Add(2*time.Hour)) {
		t.Errorf("a token that is old: %+v", stale)
	}
	for _, cursor := range []upstream.Cursor{"2 x", "1 a b c ", "1", "garbage", upstream.Cursor(strings.Repeat(" ", 99)), first.Next("")[1:]} {
		if s := begin(cursor, now); !s.From.Equal(first.From) || s.Page != "" {
			t.Errorf("%q: %+v", cursor, s)
		}
	}
	if s := begin(begin("", now.Add(99*time.Hour)).Next(""), now); !s.To.Equal(now) || !s.From.Equal(first.From) {
		t.Errorf("a clock that was set back: %+v", s)
	}
	if s := events.Begin(upstream.Ask{}, now, time.Hour); !s.From.Equal(now.Add(-time.Hour)) {
		t.Errorf("no further than the log: %+v", s)
	}
}

func TestPage(t *testing.T) {
	now := time.Now()
	good := upstream.Event{Kind: upstream.Bounced, Recipient: " ann@example.org ", ProviderID: "m", Key: "k", At: now.Add(time.Hour), Words: "a\r\nb\x00" + strings.Repeat("é", 2000), Status: "5.1.1", QueueID: strings.Repeat("Q", 65)}
	page := events.NewPage(now)
	page.Add(good)
	e := page.Events[0]
	if !e.At.Equal(now) || e.Recipient != "ann@example.org" || strings.ContainsAny(e.Words, "\r\n\x00") || len(e.Words) > 1010 || e.QueueID != "" {
		t.Errorf("%+v", e)
	}
	for why, change := range map[string]func(*upstream.Event){
		"no kind":                       func(e *upstream.Event) { e.Kind = 0 },
		"no address":                    func(e *upstream.Event) { e.Recipient = "ann" },
		"half a one":                    func(e *upstream.Event) { e.Recipient = "@example.org" },
		"two lines":                     func(e *upstream.Event) { e.Recipient = "a\n@example.org" },
		"a long one":                    func(e *upstream.Event) { e.Recipient = strings.Repeat("a", 400) + "@example.org" },
		"no key":                        func(e *upstream.Event) { e.Key = "" },
		"no mail":                       func(e *upstream.Event) { e.ProviderID, e.QueueID = "", "" },
		"no mail but an impossible tag": func(e *upstream.Event) { e.ProviderID, e.QueueID = "", "\b" },
		"a mail that is":                func(e *upstream.Event) { e.ProviderID = "a\x00" },
	} {
		page := events.NewPage(now)
		e := good
		change(&e)
		page.Add(e)
		if len(page.Events) != 0 || page.Skipped != 1 || page.Note == "" {
			t.Errorf("%s: %+v", why, page.Batch)
		}
	}
	for i := range upstream.MaxEvents + 5 {
		e := good
		e.Key = strconv.Itoa(i)
		page.Add(e)
	}
	if len(page.Events) != upstream.MaxEvents || page.Skipped != 6 {
		t.Errorf("%d events, %d skipped", len(page.Events), page.Skipped)
	}
}

func TestEach(t *testing.T) {
	count := func(raw string) (n int, ok bool, skipped int) {
		page := events.NewPage(time.Now())
		ok = page.Each([]byte(raw), func(json.RawMessage) error { n++; return nil })
		return n, ok, page.Skipped
	}
	for raw, want := range map[string]int{`[{"a":1},2,null]`: 3, ` {"a":1} `: 1, `[]`: 0, "[" + strings.Repeat("1,", upstream.MaxEvents+1) + "1]": upstream.MaxEvents} {
		if n, ok, _ := count(raw); n != want || !ok {
			t.Errorf("%.30s: %d, %v", raw, n, ok)
		}
	}
	for _, raw := range []string{"", "x", `"x"`, "{", "[1,", `{"a":}`} {
		if n, ok, _ := count(raw); ok || n > 0 {
			t.Errorf("%s: %d", raw, n)
		}
	}
}

func TestTolerantValues(t *testing.T) {
	var v struct {
		A, B, C, D events.Text
		L, M, N    events.Texts
		F, G, H    events.Fields
	}
	err := json.Unmarshal([]byte(`{"A":"x","B":5.1,"C":{"x":1},"D":null,"L":["a",1],"M":"b","N":{},"F":{"a":"1","b":2,"c":[]},"G":"{\"a\":\"1\"}","H":7}`), &v)
	if err != nil || v.A != "x" || v.B != "5.1" || v.C != "" || v.D != "" || len(v.L) != 2 || v.M[0] != "b" || v.N != nil || v.F["b"] != "2" || v.G["a"] != "1" || v.H != nil {
		t.Errorf("%+v, %v", v, err)
	}
	for words, want := range map[string]string{"smtp; 550 5.1.1 <a@b> no": "5.1.1", "550-5.7.26 x": "5.7.26", "550 no": "", "": "", "at 10.0.0.1": "", "(#5.1.1)": "5.1.1", "one two three four five six seven 5.1.1": ""} {
		if got := events.StatusIn(words); got != want {
			t.Errorf("%q: %q", words, got)
		}
	}
	for s, want := range map[events.Text]string{"1748858401": "2025-06-02T10:00:01Z", "1748858401.5": "2025-06-02T10:00:01.5Z", "2025-06-02T12:00:01+02:00": "2025-06-02T12:00:01+02:00",
		"2025-06-02 10:00:01.25+00": "2025-06-02T10:00:01.25Z", "2025-06-02 10:00:01+00:00": "2025-06-02T10:00:01Z", "2025-06-02 10:00:01": "2025-06-02T10:00:01Z",
		"Fri, 21 Oct 2011 11:02:55 UTC": "2011-10-21T11:02:55Z", "Fri, 21 Oct 2011 11:02:55 +0000": "2011-10-21T11:02:55Z", "7": "0001-01-01T00:00:00Z", "inf": "0001-01-01T00:00:00Z", "soon": "0001-01-01T00:00:00Z"} {
		if got := events.Moment(s).Format(time.RFC3339Nano); got != want {
			t.Errorf("%q: %s", s, got)
		}
	}
	for s, want := range map[string]string{"5.1.1": "5.1.1", " 4.2.2 ": "4.2.2", "5.1": "", "3.1.1": "", "5.a.1": "", "5..1": "", "5.1.1000": ""} {
		if got := events.Status(s); got != want {
			t.Errorf("%q: %q", s, got)
		}
	}
}

func TestSignatures(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	for seconds, want := range map[string]bool{at(0): true, at(-4 * time.Minute): true, at(4 * time.Minute): true, at(-6 * time.Minute): false, at(6 * time.Minute): false, "": false, "x": false, "-1": false, "99999999999999": false} {
		if events.IsFresh(seconds, now, events.EachAttempt) != want {
			t.Errorf("%q: %v", seconds, !want)
		}
	}
	if !events.IsFresh(at(-24*time.Hour), now, events.WholeDay) {
		t.Error("a day is not believed")
	}
	for given, want := range map[string]bool{"Basic dXNlcjpwYXNz": true, "basic dXNlcjpwYXNz": true, "Bearer user:pass": true, "Basic dXNlcjpwYXN0": false, "Basic x": false, "": false, "Digest user:pass": false} {
		if listener("user:pass").Shows(http.Header{"Authorization": {given}}) != want {
			t.Errorf("%q: %v", given, !want)
		}
	}
	if listener("").Shows(http.Header{"Authorization": {"Bearer "}}) {
		t.Error("no secret is believed")
	}
}

func TestHookFinding(t *testing.T) {
	for _, row := range []struct {
		missing []string
		err     error
		level   upstream.Level
		word    string
	}{
		{nil, nil, upstream.Fine, "sends its events to"},
		{[]string{"bounce"}, nil, upstream.Warn, "does not send bounce"},
		{nil, errors.New("no answer"), upstream.Warn, "no answer"},
		{nil, &upstream.Error{Class: upstream.Account, Err: &upstream.ScopeError{Scope: "hooks", Hint: "h"}}, upstream.Warn, "lacks the scope hooks"},
	} {
		if f := events.HookFinding("https://user:pass@x", row.missing, row.err); f.Level != row.level || !strings.Contains(f.Text, row.word) || strings.Contains(f.Text+f.Hint, "pass@") {
			t.Errorf("%+v", f)
		}
	}
}

func TestFindHook(t *testing.T) {
	list := []events.Webhook{{ID: "1", URL: "https://elsewhere.example.com/x", Events: []string{"a", "b"}}, {ID: "2", URL: "https://user:pass@x.example.com/y", Events: []string{"b"}}}
	for address, want := range map[string]string{"https://elsewhere.example.com/x": "1 []", "https://x.example.com/y": "2 [a]", "https://x.example.com/z": " [a b]", "%": " [a b]"} {
		id, missing := events.FindHook(list, address, []string{"a", "b"})
		if got := fmt.Sprintf("%s %v", id, missing); got != want {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func TestLogin(t *testing.T) {
	if user, password := listener("user:pass:word").Login(); user != "user" || password != "pass:word" {
		t.Errorf("%q, %q", user, password)
	}
	if user, password := listener("").Login(); user == "" || len(password) < 20 {
		t.Errorf("%q, %q", user, password)
	}
}

func TestNextOffset(t *testing.T) {
	for _, row := range []struct {
		offset    string
		got, page int
		next      string
	}{{"", 100, 100, "100"}, {"100", 100, 100, "200"}, {"200", 99, 100, ""}, {"", 0, 100, ""}} {
		if next := events.NextOffset(row.offset, row.got, row.page); next != row.next {
			t.Errorf("%+v: %q", row, next)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add("ann@example.org", "m", "words", "5.1.1", "k", int64(1))
	f.Fuzz(func(t *testing.T, recipient, id, words, status, key string, at int64) {
		now := time.Now()
		page := events.NewPage(now)
		page.Add(upstream.Event{Kind: upstream.Bounced, Recipient: recipient, ProviderID: id, Words: words, Status: status, Key: key, At: time.Unix(at, 0)})
		for _, e := range page.Events {
			if strings.ContainsAny(e.Words+e.Recipient+e.ProviderID+e.Key+e.Status, "\r\n\x00") || len(e.Words) > 1010 || e.At.After(now) || e.Key == "" {
				t.Errorf("%+v", e)
			}
		}
		if len(page.Events)+page.Skipped != 1 {
			t.Error("neither taken nor counted")
		}
	})
}
