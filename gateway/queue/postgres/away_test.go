package postgres

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/postgrestest"
)

// synced is a log that is read while it is written.
type synced struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *synced) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *synced) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// TestStartAway: a patient store opens while the database is away, says so, and is there by itself when that comes; what was set
// before holds then. Nobody waits for a database in a hurry.
func TestStartAway(t *testing.T) {
	url := server.Schema(t, t.Name())
	p := postgrestest.NewProxy(t, url)
	p.Away(true)
	if _, err := Open(t.Context(), queue.Settings{URL: p.URL, Dir: t.TempDir()}); !errors.Is(err, queue.ErrAway) {
		t.Fatalf("a store that is not patient: %v", err)
	}
	var log synced
	s := open(t, queue.Settings{URL: p.URL, Patient: true, Gateway: "a", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.SetPrivacy(queue.HideAddresses); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, newErr := s.New(ctx)
	_, statsErr := s.Stats(ctx)
	_, claimErr := s.Claim(ctx, lane, 1, time.Minute)
	_, pausedErr := s.Paused(ctx)
	for what, err := range map[string]error{"New": newErr, "Stats": statsErr, "Claim": claimErr, "Paused": pausedErr,
		"Serve": s.Serve(ctx, []string{lane}), "Beat": s.Fleet().Beat(ctx, queue.Gateway{})} {
		if !errors.Is(err, queue.ErrAway) {
			t.Errorf("%s: %v", what, err)
		}
	}
	began, _ := p.Count()
	time.Sleep(3 * time.Second)
	if tries, _ := p.Count(); tries-began > 10 {
		t.Errorf("%d connections within three seconds", tries-began)
	}
	p.Away(false)
	await(t, "the database", func() bool { _, err := s.Stats(ctx); return err == nil })
	id := accept(t, s, "x")
	for _, l := range claim(t, s, 10, time.Minute) {
		if err := l.Finish(ctx, sent(l)); err != nil {
			t.Fatal(err)
		}
	}
	records, err := s.Search(ctx, queue.HistoryFilter{ID: id})
	if err != nil || len(records) != 1 || !strings.HasPrefix(records[0].Recipient.Address, "~") {
		t.Errorf("addresses are not hidden: %+v, %v", records, err)
	}
	if !strings.Contains(log.String(), "connected to the database") {
		t.Errorf("the log says nothing of it:\n%s", log.String())
	}
}

// TestStartWrong: what waiting does not mend ends the start, also of a patient store; while one waits already, it is reported and
// tried again.
func TestStartWrong(t *testing.T) {
	url := server.New(t)
	role := "app_" + databaseName(url)
	server.Exec(t, url, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { server.Exec(t, url, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	as := func(user string) string { return strings.Replace(url, "user=postgres", "user="+user, 1) }
	for what, u := range map[string]string{"an unknown account": as("nobody_" + role), "an unknown database": strings.Replace(url, "///", "///no", 1),
		"no synchronous commit": url + "&synchronous_commit=off", "no right to make tables": as(role), "no URL": "", "what is no URL": "postgres://u:p@h:port/x"} {
		s, err := Open(t.Context(), queue.Settings{URL: u, Patient: true, Dir: t.TempDir()})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || errors.Is(err, queue.ErrAway) {
			t.Errorf("%s: %v", what, err)
		}
	}
	testNoOwner(t, role)
	p := postgrestest.NewProxy(t, as(role))
	p.Away(true)
	var log synced
	s := open(t, queue.Settings{URL: p.URL, Patient: true, Gateway: "a", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	p.Away(false)
	await(t, "the reason in the log", func() bool { return strings.Contains(log.String(), "cannot be used") })
	if _, err := s.New(t.Context()); !errors.Is(err, queue.ErrAway) || !errors.Is(err, database.ErrSchema) {
		t.Errorf("New: %v", err)
	}
	server.Exec(t, url, "GRANT ALL ON SCHEMA public TO "+role)
	await(t, "the database", func() bool { _, err := s.Stats(t.Context()); return err == nil })
}

// testNoOwner: an account that may read and write the tables, but not make those of the days to come, is not used: it would not
// be able to record what was delivered some days later.
func testNoOwner(t *testing.T, role string) {
	t.Helper()
	url := server.New(t)
	s, err := Open(t.Context(), queue.Settings{URL: url, Dir: t.TempDir()})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(url, "user=postgres", "user="+role, 1)
	for _, c := range []struct {
		grant, want string // in the error; "": none
	}{
		{"GRANT USAGE ON SCHEMA public TO " + role, "should own the tables"},
		{"GRANT ALL ON ALL TABLES IN SCHEMA public TO " + role, "daily tables"},
		{"GRANT ALL ON SCHEMA public TO " + role, "daily tables"},
		{"GRANT postgres TO " + role, ""},
	} {
		server.Exec(t, url, c.grant)
		s, err := Open(t.Context(), queue.Settings{URL: own, Dir: t.TempDir()})
		if err == nil {
			err = s.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "queue: ") != 1) {
			t.Errorf("%s: %v", c.grant, err)
		}
	}
	server.Exec(t, url, "REVOKE postgres FROM "+role+"; DROP OWNED BY "+role)
}

func databaseName(url string) string {
	_, name, _ := strings.Cut(url, "///")
	name, _, _ = strings.Cut(name, "?")
	return name
}

// TestCloseAway: a store whose database never came closes at once.
func TestCloseAway(t *testing.T) {
	p := postgrestest.NewProxy(t, server.Schema(t, t.Name()))
	p.Away(true)
	for _, first := range []string{"Close", "ctx"} {
		s, err := Open(t.Context(), queue.Settings{URL: p.URL, Patient: true, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		if first == "ctx" {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			ended <- nil
		}
		if err := errors.Join(s.Close(), <-ended); err != nil {
			t.Errorf("%s: %v", first, err)
		}
		stop()
	}
}
