package peers

import (
	"path/filepath"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

func TestFill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for range 2 { // a second time adds to it
		if err := fillQueue(t.Context(), dir, filling{Queued: 300, History: 700}); err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlite.Open(t.Context(), queue.Settings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stats, err := store.Stats(t.Context())
	if err != nil || stats[envelope.Queued].Parts != 600 {
		t.Errorf("%v %+v", err, stats)
	}
	history, err := store.Search(t.Context(), queue.HistoryFilter{})
	if err != nil || len(history) != 1400 || history[0].State != envelope.Sent {
		t.Errorf("%v, %d records", err, len(history))
	}
	if leases, err := store.Claim(t.Context(), fillLane, 1, fillDue); err != nil || len(leases) != 0 {
		t.Errorf("%v: %d parts are due", err, len(leases))
	}
	if err := fillQueue(t.Context(), dir, filling{Queued: 1}); err == nil {
		t.Error("a queue that is open elsewhere was filled")
	}
}
