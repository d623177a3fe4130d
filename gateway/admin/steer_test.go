package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/sqlite"
	"mailhatch/upstream"
)

func TestAct(t *testing.T) {
	states := func(q *fakeQueue) string {
		var list []string
		for _, id := range []string{"A1", "B2", "C3"} {
			if m := q.messages[id]; m != nil {
				list = append(list, id+" "+string(m.Parts[0].State))
			}
		}
		return strings.Join(list, ", ")
	}
	cases := []struct {
		action  api.Action
		sel     api.Selection
		changed int
		missing []string
		want    string
	}{
		{api.Retry, api.Selection{IDs: []string{"c3", "C3", "ZZ"}}, 1, []string{"ZZ"}, "A1 queued, B2 held, C3 queued"},
		{api.Retry, api.Selection{All: true}, 2, nil, "A1 queued, B2 held, C3 queued"},
		{api.Hold, api.Selection{IDs: []string{"A1", "A1"}}, 1, nil, "A1 held, B2 held, C3 failed"},
		{api.Hold, api.Selection{All: true, Upstream: "relay"}, 0, nil, "A1 queued, B2 held, C3 failed"},
		{api.Release, api.Selection{All: true}, 1, nil, "A1 queued, B2 queued, C3 failed"},
		{api.Release, api.Selection{IDs: []string{"YY", "ZZ"}}, 0, []string{"YY", "ZZ"}, "A1 queued, B2 held, C3 failed"},
		{api.Delete, api.Selection{IDs: []string{"B2"}}, 1, nil, "A1 queued, C3 failed"},
		{api.Delete, api.Selection{All: true, State: envelope.Failed}, 1, nil, "A1 queued, B2 held"},
		{api.Delete, api.Selection{All: true}, 3, nil, ""},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.action, tc.sel), func(t *testing.T) {
			q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "main", envelope.Held), message("C3", "eve", "main", envelope.Failed))
			c, _ := start(t, Config{Queue: q})
			got, err := c.Act(t.Context(), tc.action, tc.sel)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&api.Changed{Changed: tc.changed, Recipients: tc.changed, Missing: tc.missing}, got); d != "" || states(q) != tc.want {
				t.Errorf("%s %s", states(q), d)
			}
		})
	}
}

// TestActOnParts: a message with recipients in other states, or for other upstreams, keeps these as they are.
func TestActOnParts(t *testing.T) {
	for _, tc := range []struct {
		action api.Action
		sel    api.Selection
		want   string
	}{
		{api.Delete, api.Selection{All: true, State: envelope.Failed}, "main queued, relay queued"},
		{api.Hold, api.Selection{All: true, Upstream: "relay"}, "main queued, relay held, main failed"},
		{api.Delete, api.Selection{IDs: []string{"A1"}}, ""},
	} {
		m := message("A1", "ann", "main", envelope.Queued, envelope.Queued, envelope.Failed)
		m.Parts[1].Lane = "relay"
		q := newFake(m)
		c, _ := start(t, Config{Queue: q})
		if got, err := c.Act(t.Context(), tc.action, tc.sel); err != nil || got.Changed != 1 {
			t.Errorf("%s %+v: %+v, %v", tc.action, tc.sel, got, err)
		}
		var left []string
		if m := q.messages["A1"]; m != nil {
			for _, p := range m.Parts {
				left = append(left, p.Lane+" "+string(p.State))
			}
		}
		if got := strings.Join(left, ", "); got != tc.want {
			t.Errorf("%s %+v left %q, want %q", tc.action, tc.sel, got, tc.want)
		}
	}
}

// several has recipients in two states and for two upstreams.
func several() queue.Message {
	m := message("A1", "ann", "main", envelope.Queued, envelope.Queued, envelope.Failed)
	m.Parts[1].Lane = "relay"
	m.Parts[2].To = []envelope.Recipient{{Address: "bob@example.org"}, {Address: "eve@example.net"}}
	return m
}

// TestSelections: all fields of a selection choose recipients, with ids and with all, for a change and for a dry run.
func TestSelections(t *testing.T) {
	for _, tc := range []struct {
		sel        api.Selection
		messages   int
		recipients int
	}{
		{api.Selection{All: true}, 2, 5}, {api.Selection{IDs: []string{"A1"}}, 1, 4}, {api.Selection{IDs: []string{"A1"}, State: envelope.Failed}, 1, 2},
		{api.Selection{IDs: []string{"A1"}, To: "bob"}, 1, 1}, {api.Selection{All: true, To: "example.org"}, 2, 4}, {api.Selection{All: true, To: "bob@example.com"}, 0, 0},
		{api.Selection{All: true, Upstream: "relay", To: "ann*"}, 1, 1}, {api.Selection{All: true, Subject: "of b2"}, 1, 1}, {api.Selection{All: true, From: "app"}, 2, 5},
		{api.Selection{All: true, From: "<>"}, 0, 0}, {api.Selection{All: true, Older: "2026-03-01T08:00:00Z"}, 0, 0}, {api.Selection{All: true, Older: "2026-03-01T08:00:01Z"}, 2, 5},
	} {
		q := newFake(several(), message("B2", "ann", "main", envelope.Held))
		var acted []journal.Operation
		c, _ := start(t, Config{Queue: q, Acted: func(o journal.Operation) { acted = append(acted, o) }})
		dry := tc.sel
		dry.DryRun = true
		got, err := c.Act(t.Context(), api.Delete, dry)
		if err != nil || got.Changed != tc.messages || got.Recipients != tc.recipients || len(q.messages) != 2 || len(acted) != 0 {
			t.Errorf("%s: dry run %+v, %v", &tc.sel, got, err)
		}
		q.busy = "bob@example.org"
		if got, err := c.Act(t.Context(), api.Delete, api.Selection{All: true, To: "bob"}); err != nil || got.Busy != 1 || got.Changed != 0 {
			t.Errorf("what is being offered: %+v, %v", got, err)
		}
		q.busy = ""
		got, err = c.Act(t.Context(), api.Delete, tc.sel)
		if d := cmp.Diff(&api.Changed{Changed: tc.messages, Recipients: tc.recipients}, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", &tc.sel, err, d)
		}
		left := 0
		for _, m := range q.messages {
			for _, p := range m.Parts {
				left += len(p.To)
			}
		}
		if left != 5-tc.recipients {
			t.Errorf("%s left %d recipients", &tc.sel, left)
		}
		want := []journal.Operation{{Action: "delete", By: "somebody", Filter: tc.sel.String(), Messages: tc.messages, Recipients: tc.recipients}}
		if tc.messages == 0 {
			want = nil
		}
		if d := cmp.Diff(want, acted); d != "" {
			t.Error(d)
		}
	}
}

func TestDryRunShowsWhatItWouldTouch(t *testing.T) {
	q := newFake(several(), message("B2", "ann", "main", envelope.Held), message("C3", "ann", "main", envelope.Queued))
	c, _ := start(t, Config{Queue: q})
	got, err := c.Act(t.Context(), api.Retry, api.Selection{All: true, DryRun: true})
	want := []api.Group{{Upstream: "main", State: envelope.Failed, Messages: 1, Recipients: 2}, {Upstream: "main", State: envelope.Queued, Messages: 2, Recipients: 2}, {Upstream: "relay", State: envelope.Queued, Messages: 1, Recipients: 1}}
	if err != nil || got.At.IsZero() || got.More || got.Changed != 2 || got.Recipients != 5 || len(got.Examples) != 2 || got.Examples[0].ID != "A1" {
		t.Errorf("%+v, %v", got, err)
	}
	if d := cmp.Diff(want, got.Groups); d != "" {
		t.Error(d)
	}
	if got, err = c.Act(t.Context(), api.Hold, api.Selection{IDs: []string{"B2", "ZZ"}, DryRun: true}); err != nil || got.Changed != 0 || len(got.Missing) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	p, err := c.List(t.Context(), api.Filter{To: "bob"})
	if err != nil || len(p.Messages) != 1 || len(p.Messages[0].Parts) != 1 || len(p.Messages[0].Parts[0].To) != 1 || len(q.messages["A1"].Parts[2].To) != 2 {
		t.Errorf("list: %+v, %v", p, err)
	}
}

func TestSelectionInWords(t *testing.T) {
	for want, sel := range map[string]api.Selection{
		"all": {All: true}, "A B": {IDs: []string{"A", "B"}}, "1 2 3 4 5 …": {IDs: []string{"1", "2", "3", "4", "5", "6"}},
		"all state=failed upstream=u from=f to=t subject=s older=2d": {All: true, State: envelope.Failed, Upstream: "u", From: "f", To: "t", Subject: "s", Older: "2d"},
	} {
		if got := sel.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestOperatorByAddress(t *testing.T) {
	s := New(Config{Queue: newFake()})
	for addr, want := range map[string]string{"root": "root", "uid 1000": "uid 1000", "ann@corp": "ann@corp", "": "somebody", "@": "somebody", "/run/x": "somebody"} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = addr
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "s", Net: "unix"}))
		if got := s.operator(r); got != want {
			t.Errorf("%q: %q, want %q", addr, got, want)
		}
	}
}

func TestActOnManyPages(t *testing.T) {
	q := newFake()
	for i := range 2*maxPage + 5 {
		m := message(fmt.Sprintf("M%06d", i), "ann", "main", envelope.Queued)
		q.messages[m.ID] = &m
	}
	c, _ := start(t, Config{Queue: q})
	got, err := c.Act(t.Context(), api.Hold, api.Selection{All: true, State: envelope.Queued})
	if err != nil || got.Changed != 2*maxPage+5 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestBadRequests(t *testing.T) {
	q := newFake(message("A1", "ann", "main", envelope.Queued))
	c, _ := start(t, Config{Queue: q})
	for _, tc := range []struct {
		method, path, body string
		status             int
		words              string
	}{
		{"POST", "/api/v1/queue/eat", `{"all":true}`, 400, "unknown action"},
		{"POST", "/api/v1/queue/hold", `{}`, 400, "no messages"},
		{"POST", "/api/v1/queue/hold", `{"ids":["A1"],"all":true}`, 400, "exclude each other"},
		{"POST", "/api/v1/queue/hold", `{"state":"held"}`, 400, "no messages"},
		{"POST", "/api/v1/queue/hold", `{"all":true,"older":"soon"}`, 400, `older: "soon" is not a time`},
		{"GET", "/api/v1/queue?older=soon", "", 400, `older: "soon" is not a time`},
		{"POST", "/api/v1/queue/hold", `{"all":true,"state":"eaten"}`, 400, "unknown state"},
		{"POST", "/api/v1/queue/hold", `{"al":true}`, 400, "cannot be read"},
		{"POST", "/api/v1/queue/hold", `{"ids":["` + strings.Repeat("x", maxBody) + `"]}`, 413, "too large"},
		{"GET", "/api/v1/queue?state=sent", "", 400, "unknown state"},
		{"GET", "/api/v1/queue?limit=many", "", 400, "not a number"},
		{"GET", "/api/v1/log?limit=-1", "", 400, "not a number"},
		{"GET", "/api/v1/log?state=eaten", "", 400, `unknown state "eaten"; the states are queued`},
		{"GET", "/api/v1/log?since=soon", "", 400, `since: "soon" is not a time`},
		{"GET", "/api/v1/log?until=soon", "", 400, `until: "soon" is not a time`},
		{"GET", "/api/v2", "", 404, "/api/v2"},
		{"POST", "/api/v1/reload", "", 501, "cannot reload"},
	} {
		req, err := http.NewRequest(tc.method, "http://localhost"+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var f api.Failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(f.Error, tc.words) {
			t.Errorf("%s %s %.60s: %d %q", tc.method, tc.path, tc.body, resp.StatusCode, f.Error)
		}
	}
}

func TestFailuresOfTheQueue(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
	}{
		{queue.ErrClosed, 503}, {queue.ErrBroken, 503}, {queue.ErrFull, 507}, {queue.ErrNotFound, 404}, {errors.New("odd"), 500},
	} {
		q := newFake(message("A1", "ann", "main", envelope.Queued))
		c, _ := start(t, Config{Queue: q})
		q.err = fmt.Errorf("wrapped: %w", tc.err)
		calls := map[string]func() error{
			"list":   func() error { _, err := c.List(t.Context(), api.Filter{}); return err },
			"show":   func() error { _, err := c.Show(t.Context(), "A1"); return err },
			"open":   func() error { _, err := c.Open(t.Context(), "A1"); return err },
			"log":    func() error { _, err := c.Log(t.Context(), api.LogFilter{}); return err },
			"status": func() error { _, err := c.Status(t.Context()); return err },
			"act":    func() error { _, err := c.Act(t.Context(), api.Hold, api.Selection{All: true}); return err },
			"act on": func() error { _, err := c.Act(t.Context(), api.Hold, api.Selection{IDs: []string{"A1"}}); return err },
		}
		for name, call := range calls {
			var e *api.Error
			if err := call(); !errors.As(err, &e) || e.Status != tc.status || !strings.Contains(e.Words, tc.err.Error()) {
				t.Errorf("%s %v: %v", name, tc.err, err)
			}
		}
		q.err, q.actErr = nil, tc.err
		for _, sel := range []api.Selection{{All: true}, {IDs: []string{"A1"}}} {
			var e *api.Error
			if _, err := c.Act(t.Context(), api.Hold, sel); !errors.As(err, &e) || e.Status != tc.status {
				t.Errorf("%+v %v: %v", sel, tc.err, err)
			}
		}
	}
	q := newFake()
	q.lanes = nil
	c, _ := start(t, Config{Queue: q})
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), errLanes.Error()) {
		t.Errorf("lanes: %v", err)
	}
}

// TestMove: what the target cannot carry stays and is named, as is what may have been taken; what was held is so still.
func TestMove(t *testing.T) {
	m := several() // queued for main, queued for relay, failed for main with two recipients
	taken := message("B2", "zoe", "main", envelope.Queued)
	taken.Parts[0].Progress = envelope.Progress{Upstream: "main", Uncertain: true}
	odd := message("C3", "odd", "main", envelope.Held)
	held := message("D4", "hal", "main", envelope.Held)
	carry := func(_ context.Context, upstream string, m *queue.Message, to []envelope.Recipient) error {
		if m.ID == "C3" {
			return fmt.Errorf("%s cannot carry mail to %s", upstream, to[0].Address)
		}
		return nil
	}
	var acted []journal.Operation
	q := newFake(m, taken, odd, held)
	c, _ := start(t, Config{Queue: q, Carry: carry, Status: func() []api.Upstream { return []api.Upstream{{Name: "main"}, {Name: "relay"}} },
		Acted: func(o journal.Operation) { acted = append(acted, o) }})
	for want, sel := range map[string]api.Selection{`no upstream "x"; there are main, relay`: {All: true, Target: "x"}, `no upstream ""`: {All: true}} {
		if _, err := c.Act(t.Context(), api.Move, sel); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", sel, err)
		}
	}
	if _, err := c.Act(t.Context(), api.Move, api.Selection{All: true, Target: "main", Back: true}); err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Error(err)
	}
	if got, err := c.Act(t.Context(), api.Move, api.Selection{All: true, Back: true, DryRun: true}); err != nil || got.Changed != 0 {
		t.Errorf("back to the routes, of nothing that was moved: %+v, %v", got, err)
	}
	if _, err := c.Act(t.Context(), api.Hold, api.Selection{All: true, Target: "main"}); err == nil || !strings.Contains(err.Error(), "target and back go with move") {
		t.Error(err)
	}
	want := &api.Changed{Changed: 2, Recipients: 4, Stay: 2, Groups: []api.Group{{Upstream: "main", State: envelope.Failed, Messages: 1, Recipients: 2}, {Upstream: "main", State: envelope.Held, Messages: 1, Recipients: 1}, {Upstream: "main", State: envelope.Queued, Messages: 1, Recipients: 1}},
		Refused: []api.Refusal{{ID: "B2", To: []string{"zoe@example.org"}, Why: "its last offer may have been taken: another upstream would send it twice"},
			{ID: "C3", To: []string{"odd@example.org"}, Why: "relay cannot carry mail to odd@example.org"}}}
	for _, dry := range []bool{true, false} {
		got, err := c.Act(t.Context(), api.Move, api.Selection{All: true, Target: "relay", DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		got.At, got.Examples = time.Time{}, nil
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("dry run %v: %s", dry, d)
		}
	}
	if d := cmp.Diff([]journal.Operation{{Action: "move", By: "somebody", Filter: "all", Messages: 2, Recipients: 4, Upstream: "relay"}}, acted); d != "" {
		t.Error(d)
	}
	if got, err := c.Act(t.Context(), api.Move, api.Selection{All: true, Target: "relay"}); err != nil || got.Changed != 0 || got.Stay != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestResendRequest: the request reaches whoever accepts again, and the record.
func TestResendRequest(t *testing.T) {
	var acted []journal.Operation
	c, _ := start(t, Config{Queue: newFake(), Status: func() []api.Upstream { return []api.Upstream{{Name: "main"}} },
		Acted: func(o journal.Operation) { acted = append(acted, o) },
		Resend: func(_ context.Context, id string, ask api.Resend, by string) (*api.Resent, error) {
			if id != "A1" {
				return nil, Unprocessable(fmt.Errorf("not %s", id))
			}
			return &api.Resent{ID: "N1", To: append(ask.To, by)}, nil
		}})
	got, err := c.Resend(t.Context(), "A1", api.Resend{To: []string{"x@y"}, Via: "main"})
	if d := cmp.Diff(&api.Resent{ID: "N1", To: []string{"x@y", "somebody"}}, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	if d := cmp.Diff([]journal.Operation{{Action: "resend", By: "somebody", Filter: "A1 as N1 to=x@y", Messages: 1, Recipients: 2, Upstream: "main"}}, acted); d != "" {
		t.Error(d)
	}
	for id, want := range map[string]int{"B2": 422, "A1": 400} {
		var e *api.Error
		if _, err := c.Resend(t.Context(), id, api.Resend{Via: map[string]string{"A1": "x"}[id]}); !errors.As(err, &e) || e.Status != want {
			t.Errorf("%s: %v", id, err)
		}
	}
	c, _ = start(t, Config{Queue: newFake()})
	var e *api.Error
	if _, err := c.Resend(t.Context(), "A1", api.Resend{}); !errors.As(err, &e) || e.Status != 501 {
		t.Error(err)
	}
}

// TestEmptyConditions: a variable that was not set does not choose everything.
func TestEmptyConditions(t *testing.T) {
	for text, want := range map[string]string{
		`{"all":true}`:                       "",
		`{"to":"bob@example.org"}`:           "",
		`{"all":true,"to":""}`:               "to is empty",
		`{"upstream":"","from":"a@b.c"}`:     "upstream is empty",
		`{"ids":["1"],"older":""}`:           "older is empty",
		`{"all":true,"recipient":"a@b.c"}`:   "recipient",
		`{"all":true,"target":"","from":""}`: "from is empty",
	} {
		var sel api.Selection
		err := json.Unmarshal([]byte(text), &sel)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestSuppressed: the addresses that get no mail, as programs see and change them.
func TestSuppressed(t *testing.T) {
	q, err := sqlite.Open(t.Context(), queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queuetest.Start(t, q))
	c, _ := start(t, Config{Queue: q, Suppressed: &suppressed.Desk{List: q, Now: time.Now, Provider: func(name string) (upstream.Suppressor, error) {
		return nil, &suppressed.BadRequestError{Words: "no upstream " + name}
	}}})
	ctx := t.Context()
	added, err := c.Suppress(ctx, suppressed.Addition{Entries: []suppressed.Suppression{{Address: "a@example.org", Domain: "x.example", Words: "why"}, {Address: "b@example.org", Reason: "bounced", Until: time.Now().Add(time.Hour)}}})
	if err != nil || added.Added != 2 {
		t.Fatalf("%+v, %v", added, err)
	}
	page, err := c.Suppressed(ctx, suppressed.Filter{Limit: 1})
	if err != nil || len(page.Entries) != 1 || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err = c.Suppressed(ctx, suppressed.Filter{After: page.Next}); err != nil || len(page.Entries) != 1 || page.Next != "" {
		t.Errorf("the second page: %+v, %v", page, err)
	}
	domain := "x.example"
	removed, err := c.Unsuppress(ctx, suppressed.Removal{Addresses: []string{"A@example.org", "c@example.org"}, Domain: &domain})
	if err != nil || len(removed.Entries) != 1 || len(removed.Missing) != 1 {
		t.Errorf("%+v, %v", removed, err)
	}
	_, badReason := c.Suppressed(ctx, suppressed.Filter{Reason: "angry"})
	_, badPlace := c.Suppressed(ctx, suppressed.Filter{After: "?"})
	_, badUpstream := c.ImportSuppressed(ctx, suppressed.Import{Upstream: "nowhere"})
	_, badAddress := c.Suppress(ctx, suppressed.Addition{Entries: []suppressed.Suppression{{Address: "x", Reason: "manual"}}})
	for _, err := range []error{badReason, badPlace, badUpstream, badAddress} {
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Status != http.StatusBadRequest {
			t.Errorf("%v", err)
		}
	}
}
