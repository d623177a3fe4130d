package events_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

func TestReader(t *testing.T) {
	status, body := 200, `{"a":1}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		if status == 206 {
			w.Header().Set("Content-Length", "1000")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	s := api.Defaults()
	s.BaseURL, s.Timeout.Duration = server.URL, 10*time.Second
	client, err := api.Open(upstream.Env{}, s, api.Service{}, api.Bearer(upstream.NewSecret("key-of-a-test")))
	if err != nil {
		t.Fatal(err)
	}
	reader := &events.Reader{Client: client, Problem: func(*api.Answer) api.Problem { return api.Problem{Message: "mailbox does not exist", Own: true} },
		Scope: upstream.ScopeError{Scope: "read"}, Denied: []int{403}}
	q := api.PostJSON("/log", api.Payload{{Literal: []byte("{}")}})
	var v struct{ A int }
	if err := reader.Read(t.Context(), q, &v); err != nil || v.A != 1 {
		t.Fatal(err)
	}
	if err := reader.Read(t.Context(), q, nil); err != nil {
		t.Error(err)
	}
	body = `{"A":1,"events":"` + strings.Repeat("long ", 1<<19) + `"}`
	if err := reader.Read(t.Context(), q, &v); err != nil {
		t.Error("a long answer:", err)
	}
	body = `"` + strings.Repeat("long ", 1<<20) + `"`
	if err := reader.Read(t.Context(), q, nil); err == nil || !strings.Contains(err.Error(), "longer than 4 MB") {
		t.Error("a longer one:", err)
	}
	for _, row := range []struct {
		status          int
		body            string
		class           upstream.Class
		denied, missing bool
	}{
		{200, "<html>", upstream.Temporary, false, false}, {206, "{", upstream.Temporary, false, false}, {403, "", upstream.Account, true, false},
		{401, "", upstream.Account, false, false}, {404, "", upstream.Account, false, true}, {400, "{}", upstream.Temporary, false, false},
		{429, "", upstream.Throttled, false, false}, {500, "", upstream.Temporary, false, false}, {0, "", upstream.Temporary, false, false},
	} {
		status, body = row.status, row.body
		err := reader.Read(t.Context(), q, &v)
		var e *upstream.Error
		if !errors.As(err, &e) || e.Class != row.class || events.IsDenied(err) != row.denied || events.IsMissing(err) != row.missing {
			t.Errorf("%d %s: %v", row.status, row.body, err)
		}
	}
}
