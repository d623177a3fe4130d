package database_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
	"zombiezen.com/go/sqlite"
)

// TestCreateRefuses: what cannot be made whole is not made.
func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.db")
	if err := database.Create(filepath.Join(dir, "missing", "queue.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is missing: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(path+".new", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := database.Create(path); err == nil {
		t.Error("a draft that cannot be removed")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a database all the same: %v", err)
	}
	if _, err := database.Check(dir); err == nil {
		t.Error("a folder is taken for a database")
	}
}

// TestFaults: what errors of the engine mean, and the file that they name.
func TestFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	if _, err := database.Open(path, 100); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	if _, err := database.OpenReadOnly(path); err == nil {
		t.Error("no file to read")
	}
	if err := database.Create(path); err != nil {
		t.Fatal(err)
	}
	conn, err := database.Open(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := database.Exec(conn, "SELECT nothing FROM nowhere", nil); err == nil || database.FaultOf(err) != database.FaultOp {
		t.Errorf("a query that cannot be prepared: %v", err)
	}
	if n, err := database.Number(conn, "SELECT 7 UNION SELECT 9"); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if upgraded, err := database.Upgrade(conn); upgraded || err != nil {
		t.Errorf("a new database is upgraded: %v, %v", upgraded, err)
	}
	for code, want := range map[sqlite.ResultCode]database.Fault{
		sqlite.ResultFull: database.FaultFull, sqlite.ResultIOErr: database.FaultBroken, sqlite.ResultConstraint: database.FaultOp,
	} {
		if got := database.FaultOf(code.ToError()); got != want {
			t.Errorf("%v: %v, want %v", code, got, want)
		}
	}
	for code, want := range map[sqlite.ResultCode]string{
		sqlite.ResultCorrupt: "is damaged", sqlite.ResultBusy: "in use by another program", sqlite.ResultFull: queue.ErrFull.Error(), sqlite.ResultIOErr: path,
	} {
		if err := database.Describe(path, code.ToError()); !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", code, err)
		}
	}
	if err := database.Describe(path, context.Canceled); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), path) {
		t.Errorf("a call that was given up: %v", err)
	}
}
