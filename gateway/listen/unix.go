package listen

import (
	"fmt"
	"mailhatch/gateway/config"
	"net"
	"os"
	"path/filepath"
)

// listenUnix makes a socket in a directory that is made when it is missing.
func listenUnix(path string, mode os.FileMode, group string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	err = setSocketMode(path, mode, group)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// maxSocketPath is the longest name of a socket that all systems take, in bytes.
const maxSocketPath = 103

// ForAll opens a socket that every account of this machine may connect to.
func ForAll(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s is too long for a socket: choose a shorter run_dir", path)
	}
	return listenUnix(path, 0o666, "")
}

// setSocketMode sets who may open a socket.
func setSocketMode(path string, mode os.FileMode, group string) error {
	gid, err := config.GroupID(group)
	if err != nil {
		return err
	}
	// Closed to all first, so that no mode ever applies to the wrong group.
	err = os.Chmod(path, 0o600)
	if err == nil && gid >= 0 {
		err = os.Chown(path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	return err
}

// removeStale removes a socket that a crash left behind: nothing answers on it.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if st.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s already exists and is not a socket", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in use by another program", path)
	}
	return os.Remove(path)
}
