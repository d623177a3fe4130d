//go:build unix

package oauth

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// TestStateIsTheGateways: root does not make a state_dir that the gateway's account could not write.
func TestStateIsTheGateways(t *testing.T) {
	h := newHouse(t, Device)
	state := filepath.Join(t.TempDir(), "state")
	h.env.TokenDir = filepath.Join(state, "tokens")
	show := func(upstream.LoginCode) { h.fake.Consent() }
	if !isRoot() {
		if err := h.open().Login(t.Context(), show); err != nil {
			t.Error(err)
		}
		return
	}
	if err := h.open().Login(t.Context(), show); err == nil || !strings.Contains(err.Error(), "start the gateway first") || h.fake.Codes() > 0 {
		t.Errorf("%v; %d codes were shown", err, h.fake.Codes())
	}
	h = newHouse(t, ClientCredentials)
	h.env.TokenDir = filepath.Join(state, "tokens")
	h.token(h.open()) // `check --online` before the first start
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("state_dir was made: %v", err)
	}
}

// TestLoginThatCannotBeStored is refused before anybody takes the trouble.
func TestLoginThatCannotBeStored(t *testing.T) {
	h := newHouse(t, Device)
	if err := os.WriteFile(h.env.TokenDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.open().Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "could not be stored") {
		t.Error(err)
	}
}
