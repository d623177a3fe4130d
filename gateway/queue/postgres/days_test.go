package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// TestDaysGo: days of the history that are too old go as a whole, with what happened to their messages, but for one that somebody
// reads; what is younger, and what waits, stays.
func TestDaysGo(t *testing.T) {
	url := server.Schema(t, t.Name())
	s := open(t, queue.Settings{URL: url, Lease: time.Hour})
	now := time.Now()
	ended := func(days int) string {
		at := now.AddDate(0, 0, -days)
		m := mail("bob@example.org")
		m.Envelope.From, m.Envelope.Received, m.Parts = "", at, nil
		m.Done = []queue.Record{{Recipient: m.Envelope.To[0], State: envelope.Sent, At: at, Upstream: lane}}
		m.Events = []queue.Event{{At: at, Kind: queue.EventDeferred, Words: "later"}}
		id := queue.FormatID(at.UnixMilli() << 21)
		if isNew, err := s.Import(t.Context(), &queue.Imported{ID: id, Accepted: m, Size: 1, Body: strings.NewReader("x")}); err != nil || !isNew {
			t.Fatal(isNew, err)
		}
		const form = "2006-01-02"
		day := at.UTC()
		server.Exec(t, url, "CREATE TABLE IF NOT EXISTS history_"+day.Format("20060102")+" PARTITION OF history FOR VALUES FROM ('"+day.Format(form)+"') TO ('"+day.AddDate(0, 0, 1).Format(form)+"')")
		server.Exec(t, url, "UPDATE history SET day = '"+day.Format(form)+"' WHERE at = "+fmt.Sprint(at.UnixMilli()))
		return id
	}
	old, read, young := ended(20), ended(15), ended(1)
	waiting := accept(t, s, "x")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // only read
	table := "history_" + now.AddDate(0, 0, -15).UTC().Format("20060102")
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "LOCK TABLE "+table+" IN ACCESS SHARE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	prune := func() {
		t.Helper()
		if _, err := s.Prune(t.Context(), queue.Keep{SentAfter: now.AddDate(0, 0, -7)}); err != nil {
			t.Fatal(err)
		}
	}
	tables := func() string {
		return server.Row(t, url, "SELECT count(*)::text FROM pg_inherits WHERE inhparent = 'history'::regclass AND inhrelid::regclass::text < '"+table+"x'")
	}
	prune()
	if n := tables(); n != "1" {
		t.Errorf("%s days are left of those that are too old, want that which is read", n)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	prune()
	if n := tables(); n != "0" {
		t.Errorf("%s days are left", n)
	}
	list, err := s.Search(t.Context(), queue.HistoryFilter{From: "<>"})
	if err != nil || len(list) != 1 || list[0].ID != young {
		t.Errorf("%+v, %v", list, err)
	}
	for _, id := range []string{old, read} {
		if events, err := s.Events(t.Context(), id); len(events) != 0 || err != nil && !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("events of %s: %+v, %v", id, events, err)
		}
	}
	if n := server.Row(t, url, "SELECT count(DISTINCT message)::text FROM events"); n != "1" {
		t.Errorf("events of %s messages are left", n)
	}
	if events, err := s.Events(t.Context(), young); err != nil || len(events) != 1 {
		t.Errorf("events of a younger one: %+v, %v", events, err)
	}
	if queued, err := s.List(t.Context(), queue.Filter{}, queue.Page{}); err != nil || len(queued) != 1 || queued[0].ID != waiting {
		t.Errorf("%+v, %v", queued, err)
	}
}
