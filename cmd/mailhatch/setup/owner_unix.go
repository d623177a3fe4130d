//go:build unix

package setup

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a new file the owner and the mode of the one that it replaces, if there is one: the gateway
// may run as another account than the one that writes its config. Others get no access.
func keepOwner(old, path string) error {
	info, err := os.Stat(old)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		err = os.Chown(path, int(st.Uid), int(st.Gid))
		if errors.Is(err, fs.ErrPermission) { // only root may change owners
			return nil
		}
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, info.Mode().Perm()&^0o007)
}
