//go:build unix

package oauth

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mailhatch/upstream"
)

// TestStoredForTheService: what root stores belongs to the account whose state_dir it is.
func TestStoredForTheService(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can store for another account")
	}
	const service = 65534
	h := newHouse(t, Device)
	state := t.TempDir()
	if err := os.Chown(state, service, service); err != nil {
		t.Fatal(err)
	}
	h.env.TokenDir = filepath.Join(state, "tokens")
	if err := h.open().Login(t.Context(), func(upstream.LoginCode) { h.fake.Consent() }); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(state, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if st.Sys().(*syscall.Stat_t).Uid != service || st.Mode().Perm()&0o077 != 0 && path != state {
			t.Errorf("%s: %v of uid %d", path, st.Mode(), st.Sys().(*syscall.Stat_t).Uid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
