package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"mailhatch/gateway/admin/api"
)

// TestBackup: a backup is whole, or the client knows that it is not.
func TestBackup(t *testing.T) {
	var fail error
	c, address := start(t, Config{Queue: newFake(), Backup: func(_ context.Context, w io.Writer) error {
		if fail != nil && fail.Error() != "late" {
			return fail
		}
		_, err := io.WriteString(w, strings.Repeat("state", 10_000))
		return errors.Join(err, fail)
	}})
	var out bytes.Buffer
	if err := c.Backup(t.Context(), &out); err != nil || out.Len() != 50_000 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	for _, f := range []struct {
		err    error
		status int
		words  string
	}{{ErrBusy, http.StatusConflict, "another backup is being made"}, {errors.New("no space"), http.StatusInternalServerError, "no space"}} {
		fail = f.err
		var e *api.Error
		if err := c.Backup(t.Context(), io.Discard); !errors.As(err, &e) || e.Status != f.status || e.Words != f.words {
			t.Errorf("%v: %v", f.err, err)
		}
	}
	fail = errors.New("late")
	if err := c.Backup(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("a failure on the way: %v", err)
	}
	if status, _ := ask(t, http.MethodPost, "http://"+address+"/api/v1/backup", "", "", nil); status != http.StatusForbidden {
		t.Errorf("by TCP: %d", status)
	}
	c, _ = start(t, Config{Queue: newFake()})
	var e *api.Error
	if err := c.Backup(t.Context(), io.Discard); !errors.As(err, &e) || e.Status != http.StatusNotImplemented {
		t.Errorf("without: %v", err)
	}
}
