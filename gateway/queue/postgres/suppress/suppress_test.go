package suppress

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/veil"
)

// TestLearn: a look that began before an entry of our own was written does not make the list empty.
func TestLearn(t *testing.T) {
	r := New(nil, func(context.Context, func(pgx.Tx) error) error { return nil }, veil.New(t.TempDir()), time.Now)
	if r.IsEmpty() {
		t.Error("a list that nobody has looked at is empty")
	}
	r.Learn(false)
	if !r.IsEmpty() {
		t.Error("a list without a row is not empty")
	}
	now := time.Now()
	r.put.Store(&now) // as Put does
	r.some.Store(true)
	r.Learn(false)
	if r.IsEmpty() {
		t.Error("an entry was forgotten")
	}
	before := now.Add(-2 * putRest)
	r.put.Store(&before)
	if r.Learn(false); !r.IsEmpty() {
		t.Error("it is never empty again")
	}
	if r.Learn(true); r.IsEmpty() {
		t.Error("an entry of another gateway is not heard of")
	}
}
