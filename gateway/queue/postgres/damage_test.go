package postgres

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/batch"
)

// TestDamage: bytes that are not those that were accepted are noticed; a damaged row does not keep the others from going.
func TestDamage(t *testing.T) {
	url := server.Schema(t, t.Name())
	var log synced
	s := open(t, queue.Settings{URL: url, Lease: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	small, large := accept(t, s, "small"), accept(t, s, strings.Repeat("large ", 200_000))
	bad, lost, good := accept(t, s, "bad"), accept(t, s, "lost"), accept(t, s, "good")
	number := func(id string) string {
		return "(SELECT id FROM messages ORDER BY id OFFSET " + map[string]string{small: "0", large: "1", bad: "2", lost: "3"}[id] + " LIMIT 1)"
	}
	server.Exec(t, url, "UPDATE bodies SET data = 'other' WHERE message = "+number(small))
	server.Exec(t, url, "DELETE FROM bodies WHERE n = 2 AND message = "+number(large))
	server.Exec(t, url, "UPDATE parts SET info = '{' WHERE message = "+number(bad))
	server.Exec(t, url, "DELETE FROM bodies WHERE message = "+number(lost))
	for _, id := range []string{small, large, lost} {
		if _, err := s.Body(t.Context(), id); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("Body of %s: %v", id, err)
		}
	}
	for _, id := range []string{"0000000000000", "x"} {
		if _, err := s.Body(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Body of %s: %v", id, err)
		}
	}
	leases := claim(t, s, 10, time.Hour)
	if len(leases) != 4 || leases[3].Message().ID != good || !strings.Contains(log.String(), "skipped a damaged row") {
		t.Errorf("%d leases\n%s", len(leases), log.String())
	}
	for _, l := range leases {
		b, err := l.Body()
		if errors.Is(err, queue.ErrDamaged) != (l.Message().ID != good) {
			t.Errorf("Body of the lease of %s: %v", l.Message().ID, err)
		}
		if err == nil {
			_ = b.Close()
		}
	}
}

// TestDamagedFeedback: rows of what providers reported that cannot be read are reported, not passed over in silence; and so is
// a table that is missing.
func TestDamagedFeedback(t *testing.T) {
	url := server.Schema(t, t.Name())
	s := open(t, queue.Settings{URL: url, Lease: time.Hour})
	server.Exec(t, url, "INSERT INTO feedback_waiting (key, came, upstream, info) VALUES ('k', 1, 'up', '{ Q1')")
	server.Exec(t, url, "INSERT INTO feedback_outgoing (receiver, taken, info) VALUES ('crm', 0, '{')")
	check := func(when string) {
		if list, err := s.ToldOf(t.Context(), "up", "Q1"); err == nil {
			t.Errorf("ToldOf, %s: %v", when, list)
		}
		if done, err := s.Rejoin(t.Context()); err == nil {
			t.Errorf("Rejoin, %s: %+v", when, done)
		}
		if list, err := s.Outgoing(t.Context(), "crm", 10); err == nil {
			t.Errorf("Outgoing, %s: %v", when, list)
		}
	}
	check("damaged")
	for _, table := range []string{"feedback_waiting", "feedback_outgoing"} {
		server.Exec(t, url, "DELETE FROM "+table)
		server.Exec(t, url, "ALTER TABLE "+table+" RENAME TO away_"+table)
		defer server.Exec(t, url, "ALTER TABLE away_"+table+" RENAME TO "+table)
	}
	check("without the tables")
}

// TestPartitionGone: the day of the history that an accepted or sent message needs is made anew.
func TestPartitionGone(t *testing.T) {
	url := server.Schema(t, t.Name())
	s := open(t, queue.Settings{URL: url, Lease: time.Hour})
	drop := func() {
		server.Exec(t, url, `DO $$ DECLARE d text; BEGIN FOR d IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'history'::regclass
			LOOP EXECUTE 'DROP TABLE ' || d; END LOOP; END $$`)
	}
	accept(t, s, "x")
	drop()
	for _, l := range claim(t, s, 1, time.Hour) {
		if err := l.Finish(t.Context(), sent(l)); err != nil {
			t.Errorf("Finish: %v", err)
		}
	}
	drop()
	m := mail("a@example.org")
	m.Done, m.Parts = []queue.Record{{Recipient: m.Envelope.To[0], State: "discarded"}}, nil
	if _, err := commit(s, "x", m); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

// TestOneOfAGroup: what the database does not take of a group keeps no other from being stored, and no result from being recorded.
func TestOneOfAGroup(t *testing.T) {
	s := open(t, queue.Settings{URL: server.Schema(t, t.Name()), Lease: time.Hour})
	var group []*batch.Op[*newMail]
	for range 3 {
		d, err := s.New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		accepted := mail("bob@example.org")
		m, err := s.newMail(d.(*draft), &accepted)
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, &batch.Op[*newMail]{Item: m})
	}
	group[1].Item.info = "\x00" // no text
	s.writeMail(group)
	if group[0].Err != nil || group[1].Err == nil || group[2].Err != nil || errors.Is(group[1].Err, queue.ErrAway) {
		t.Errorf("%v, %v, %v", group[0].Err, group[1].Err, group[2].Err)
	}
	var results []*batch.Op[*result]
	for _, l := range claim(t, s, 10, time.Hour) {
		r := sent(l)
		res, err := l.(*lease).result(t.Context(), &r)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, &batch.Op[*result]{Item: res})
	}
	if len(results) != 2 {
		t.Fatalf("%d are there", len(results))
	}
	results[0].Item.quota = queue.Settlement{Upstream: "\x00", Taken: []string{"a"}}
	s.writeResults(results)
	bad := 0
	for _, o := range results {
		if o.Err != nil {
			bad++
		}
	}
	if records, err := s.Search(t.Context(), queue.HistoryFilter{}); err != nil || len(records) != 2-bad || bad > 1 {
		t.Errorf("%d records, %d failed, %v", len(records), bad, err)
	}
}

// TestClosed: a store that is closed says so, whatever it is asked for.
func TestClosed(t *testing.T) {
	s, err := Open(t.Context(), queue.Settings{URL: server.Schema(t, t.Name()), Dir: t.TempDir(), Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	accept(t, s, "x")
	l := claim(t, s, 1, time.Hour)[0]
	d, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.SetReserve(1)
	if err := errors.Join(s.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, newErr := s.New(ctx)
	_, claimErr := s.Claim(ctx, lane, 1, time.Hour)
	_, healthErr := s.Health(ctx)
	_, aheadErr := s.Ahead(ctx, lane, nil, 1)
	_, holdErr := s.Hold(ctx, queue.Filter{}, "x")
	_, pruneErr := s.Prune(ctx, queue.Keep{})
	for what, err := range map[string]error{"New": newErr, "Claim": claimErr, "Health": healthErr, "Ahead": aheadErr, "Hold": holdErr, "Prune": pruneErr,
		"Commit": d.Commit(ctx, mail("a@example.org")), "Finish": l.Finish(ctx, sent(l)), "Extend": l.Extend(ctx, time.Hour), "Release": l.Release(ctx),
		"Hasten": s.Hasten(ctx, lane, time.Time{}), "Pause": s.Pause(ctx, lane, "x"), "Close": s.Close()} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestNoFolder: mail that is too large for memory needs a folder to be written to.
func TestNoFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, queue.Settings{URL: server.Schema(t, t.Name()), Dir: dir + "/x", Lease: time.Hour})
	if err := os.Remove(dir + "/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := commit(s, strings.Repeat("x", 8<<20), mail("a@example.org")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Commit: %v", err)
	}
}
