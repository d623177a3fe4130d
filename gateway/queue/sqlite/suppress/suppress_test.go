package suppress_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/suppress"
	"mailhatch/gateway/queue/veil"
)

// register returns a list in a database of its own, and the connection that it works on.
func register(t testing.TB) (*suppress.Register, *sqlite.Conn) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.db")
	if err := database.Create(path); err != nil {
		t.Fatal(err)
	}
	conn, err := database.Open(path, database.WriterCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := suppress.NewRegister(suppress.Access{
		Write: func(_ context.Context, _ int, change func(*sqlite.Conn) error) error { return change(conn) },
		Read:  func(_ context.Context, question func(*sqlite.Conn) error) error { return question(conn) },
		Veil:  veil.New(dir), Now: time.Now,
	})
	if err := r.Load(conn); err != nil {
		t.Fatal(err)
	}
	return r, conn
}

// TestDelivered: as a part of a larger change, a later delivery takes bounces off the list that concern its senders.
func TestDelivered(t *testing.T) {
	r, conn := register(t)
	at := time.Now().Truncate(time.Millisecond)
	if lifted, err := r.Delivered(conn, "a.test", "x@example.org", at); lifted != nil || err != nil {
		t.Errorf("an empty list: %v, %v", lifted, err)
	}
	for _, s := range []queue.Suppression{
		{Address: "x@example.org", Reason: queue.ReasonBounced, At: at},
		{Address: "x@example.org", Domain: "A.test", Reason: queue.ReasonBounced, At: at},
		{Address: "x@example.org", Domain: "b.test", Reason: queue.ReasonBounced, At: at},
		{Address: "y@example.org", Domain: "a.test", Reason: queue.ReasonComplained, At: at},
	} {
		if added, err := r.Put(conn, s); !added || err != nil {
			t.Fatalf("Put of %+v: %v, %v", s, added, err)
		}
	}
	for _, c := range []struct {
		address string
		after   time.Duration
		want    int
	}{{"x@example.org", -time.Second, 0}, {"y@example.org", time.Hour, 0}, {"X@example.org", time.Second, 2}, {"x@example.org", time.Second, 0}} {
		lifted, err := r.Delivered(conn, "a.test", c.address, at.Add(c.after))
		if len(lifted) != c.want || err != nil {
			t.Errorf("%s delivered %v later: lifted %v, %v", c.address, c.after, lifted, err)
		}
	}
	left, err := r.Suppressions(context.Background(), queue.SuppressionFilter{})
	if len(left) != 2 || err != nil {
		t.Errorf("left: %+v, %v", left, err)
	}
	if _, err := r.Put(conn, queue.Suppression{}); err == nil {
		t.Error("Put of nothing: no error")
	}
}

// BenchmarkSuppressed: what each recipient costs that a client names.
func BenchmarkSuppressed(b *testing.B) {
	for _, n := range []int{0, 1, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, conn := register(b)
			if err := database.Exec(conn, "BEGIN", nil); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				if _, err := r.Put(conn, queue.Suppression{Address: fmt.Sprintf("user%d@example.org", i), Domain: "a.test", Reason: queue.ReasonBounced, At: time.Now()}); err != nil {
					b.Fatal(err)
				}
			}
			if err := database.Exec(conn, "COMMIT", nil); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if found, err := r.Suppressed(context.Background(), "a.test", "someone@example.org"); len(found) > 0 || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
