package postgres

import (
	"testing"

	"mailhatch/gateway/queue"
)

const manyRecords = `INSERT INTO history (day, seq, at, message, provider, message_id, state, upstream, sender, recipient, given, subject, exact_sender, exact_recipient, info)
	SELECT (now() AT TIME ZONE 'UTC')::date, nextval('history_seq'), (extract(epoch FROM clock_timestamp()) * 1000)::bigint, i, 0, 0, 3, 'main',
		's' || i % 500 || '@example.com', 'r' || i || '@example.org', CASE WHEN i % 2 = 0 THEN 'g' || i || '@example.org' ELSE '' END, '',
		's' || i % 500 || '@example.com', 'r' || i || '@example.org', json_build_object('size', 1, 'to', CASE WHEN i % 2 = 0 THEN
			json_build_object('address', 'r' || i || '@example.org', 'given', 'g' || i || '@example.org') END)
	FROM generate_series(1, 20000) i`

// TestSearchIndexes: searches for addresses read the records that they name, and not the whole history.
func TestSearchIndexes(t *testing.T) {
	s := open(t, queue.Settings{URL: server.New(t)})
	for _, sql := range []string{manyRecords, "ANALYZE history"} {
		if _, err := s.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		index  string
		filter queue.HistoryFilter
		want   int
	}{
		{"recipient", queue.HistoryFilter{To: "R77@example.org"}, 1},
		{"recipient", queue.HistoryFilter{To: "nobody@example.org"}, 0},
		{"given", queue.HistoryFilter{To: "g78@example.org"}, 1},
		{"sender", queue.HistoryFilter{From: "s77@example.com"}, 40},
	} {
		used := func() (n int64) {
			err := s.pool.QueryRow(t.Context(), "SELECT sum(idx_scan)::bigint FROM pg_stat_user_indexes WHERE relname LIKE 'history%' AND indexrelname LIKE '%\\_' || $1 || '\\_idx'", c.index).Scan(&n)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := used()
		if list, err := s.Search(t.Context(), c.filter); err != nil || len(list) != c.want {
			t.Errorf("%+v: %d found, %v; want %d", c.filter, len(list), err, c.want)
		}
		await(t, "the index of "+c.index, func() bool { return used() > before })
	}
}
