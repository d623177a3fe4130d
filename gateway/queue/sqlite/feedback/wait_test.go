package feedback

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/told"
)

// TestBound: of too many that wait the oldest give way.
func TestBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := database.Create(path); err != nil {
		t.Fatal(err)
	}
	conn, err := database.Open(path, database.ReaderCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 5 {
		w := waiting{Item: told.New("main", queue.Told{ProviderID: fmt.Sprint(i), Kind: queue.EventBounced})}
		if again, err := w.wait(conn, time.Now()); again || err != nil {
			t.Fatal(again, err)
		}
	}
	for _, c := range []struct{ most, left, dropped int }{{10, 5, 0}, {3, 3, 2}, {3, 3, 0}} {
		if left, dropped, err := bound(conn, c.most); left != c.left || dropped != c.dropped || err != nil {
			t.Errorf("at most %d: %d are left, %d dropped, %v", c.most, left, dropped, err)
		}
	}
	first, err := database.Number(conn, "SELECT min(seq) FROM feedback_waiting")
	if err != nil || first != 3 {
		t.Errorf("the oldest left is %d, %v", first, err)
	}
}
