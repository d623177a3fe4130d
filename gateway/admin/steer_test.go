package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
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
		action  Action
		sel     Selection
		changed int
		missing []string
		want    string
	}{
		{Retry, Selection{IDs: []string{"C3", "ZZ"}}, 1, []string{"ZZ"}, "A1 queued, B2 held, C3 queued"},
		{Retry, Selection{All: true}, 1, nil, "A1 queued, B2 held, C3 queued"},
		{Hold, Selection{IDs: []string{"A1", "A1"}}, 1, nil, "A1 held, B2 held, C3 failed"},
		{Hold, Selection{All: true, Upstream: "relay"}, 0, nil, "A1 queued, B2 held, C3 failed"},
		{Release, Selection{All: true}, 1, nil, "A1 queued, B2 queued, C3 failed"},
		{Release, Selection{IDs: []string{"YY", "ZZ"}}, 0, []string{"YY", "ZZ"}, "A1 queued, B2 held, C3 failed"},
		{Delete, Selection{IDs: []string{"B2"}}, 1, nil, "A1 queued, C3 failed"},
		{Delete, Selection{All: true, State: envelope.Failed}, 1, nil, "A1 queued, B2 held"},
		{Delete, Selection{All: true}, 3, nil, ""},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.action, tc.sel), func(t *testing.T) {
			q := newFake(message("A1", "ann", "main", envelope.Queued), message("B2", "bob", "main", envelope.Held), message("C3", "eve", "main", envelope.Failed))
			c, _ := start(t, Config{Queue: q})
			got, err := c.Act(t.Context(), tc.action, tc.sel)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&Changed{tc.changed, tc.missing}, got); d != "" || states(q) != tc.want {
				t.Errorf("%s %s", states(q), d)
			}
		})
	}
}

// TestActOnParts: a message with recipients in other states, or for other upstreams, keeps these as they are.
func TestActOnParts(t *testing.T) {
	for _, tc := range []struct {
		action Action
		sel    Selection
		want   string
	}{
		{Delete, Selection{All: true, State: envelope.Failed}, "main queued, relay queued"},
		{Hold, Selection{All: true, Upstream: "relay"}, "main queued, relay held, main failed"},
		{Delete, Selection{IDs: []string{"A1"}}, ""},
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

func TestActOnManyPages(t *testing.T) {
	q := newFake()
	for i := range 2*maxPage + 5 {
		m := message(fmt.Sprintf("M%06d", i), "ann", "main", envelope.Queued)
		q.messages[m.ID] = &m
	}
	c, _ := start(t, Config{Queue: q})
	got, err := c.Act(t.Context(), Hold, Selection{All: true, State: envelope.Queued})
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
		{"POST", "/api/v1/queue/hold", `{"ids":["A1"],"state":"held"}`, 400, "go with all"},
		{"POST", "/api/v1/queue/hold", `{"all":true,"state":"eaten"}`, 400, "unknown state"},
		{"POST", "/api/v1/queue/hold", `{"al":true}`, 400, "cannot be read"},
		{"POST", "/api/v1/queue/hold", `{"ids":["` + strings.Repeat("x", maxBody) + `"]}`, 413, "too large"},
		{"GET", "/api/v1/queue?state=sent", "", 400, "unknown state"},
		{"GET", "/api/v1/queue?limit=many", "", 400, "not a number"},
		{"GET", "/api/v1/log?limit=-1", "", 400, "not a number"},
		{"GET", "/api/v1/log?since=yesterday", "", 400, "RFC 3339"},
		{"GET", "/api/v2", "", 404, "/api/v2"},
		{"POST", "/api/v1/reload", "", 501, "cannot reload"},
	} {
		req, err := http.NewRequest(tc.method, "http://localhost"+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var f failure
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
			"list":   func() error { _, err := c.List(t.Context(), Filter{}); return err },
			"show":   func() error { _, err := c.Show(t.Context(), "A1"); return err },
			"open":   func() error { _, err := c.Open(t.Context(), "A1"); return err },
			"log":    func() error { _, err := c.Log(t.Context(), LogFilter{}); return err },
			"status": func() error { _, err := c.Status(t.Context()); return err },
			"act":    func() error { _, err := c.Act(t.Context(), Hold, Selection{All: true}); return err },
			"act on": func() error { _, err := c.Act(t.Context(), Hold, Selection{IDs: []string{"A1"}}); return err },
		}
		for name, call := range calls {
			var e *Error
			if err := call(); !errors.As(err, &e) || e.Status != tc.status || !strings.Contains(e.Words, tc.err.Error()) {
				t.Errorf("%s %v: %v", name, tc.err, err)
			}
		}
		q.err, q.actErr = nil, tc.err
		for _, sel := range []Selection{{All: true}, {IDs: []string{"A1"}}} {
			var e *Error
			if _, err := c.Act(t.Context(), Hold, sel); !errors.As(err, &e) || e.Status != tc.status {
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
