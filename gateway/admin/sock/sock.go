// Package sock is the admin socket: where it is, who may connect, and how it is found.
package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Name is the name of the admin socket in run_dir.
const Name = "admin.sock"

const dialTimeout = 5 * time.Second

// Listen opens the admin socket at path: only the user that runs the gateway, and root, can connect.
// A socket that a crashed gateway left behind is replaced; one that answers is an error. Closing
// the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	conn, err := Dial(context.Background(), path)
	if err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("admin: another gateway answers on %s", path)
	}
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("admin: %s is too long for a socket: choose a shorter run_dir", path)
	}
	if info, err := os.Lstat(path); err == nil && !isSocket(info) {
		return nil, fmt.Errorf("admin: %s is in the way: it is not a socket", path)
	}
	// The socket is made in a private directory and moved once its mode is right: at no moment can
	// anybody else connect.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".a")
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // an empty directory is left at worst
	temporary := filepath.Join(dir, "s")
	name, done, err := shortName(temporary)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	defer done()
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	unix := l.(*net.UnixListener)
	unix.SetUnlinkOnClose(false) // it would remove the temporary name
	err = os.Chmod(temporary, 0o600)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("admin: %w", err)
	}
	return &socket{unix, path}, nil
}

// Dial connects to the socket of that name.
func Dial(ctx context.Context, socket string) (net.Conn, error) {
	name, done, err := shortName(socket)
	if err != nil {
		return nil, err
	}
	defer done()
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "unix", name)
}

// isSocket also takes what Windows shows for a socket.
func isSocket(info fs.FileInfo) bool { return info.Mode()&(fs.ModeSocket|fs.ModeIrregular) != 0 }

// socket is a listener that removes its file.
type socket struct {
	*net.UnixListener
	path string
}

// Addr returns the name that clients use.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close implements net.Listener. Only the first call removes the file: it may be another gateway's later.
func (s *socket) Close() error {
	if err := s.UnixListener.Close(); err != nil {
		return err
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// placeName is the file of state_dir that names the gateway's socket.
const placeName = "admin.place"

// Note writes into stateDir where the socket of the gateway is, so that Find knows it when the config has
// another run_dir by then.
func Note(stateDir, socket string) error {
	socket, err := filepath.Abs(socket)
	if err != nil {
		return err
	}
	path := filepath.Join(stateDir, placeName)
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(socket), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Find returns the admin socket in runDir or, when none answers there, the one that the gateway of stateDir
// answers on.
func Find(ctx context.Context, stateDir, runDir string) string {
	named := filepath.Join(runDir, Name)
	if answers(ctx, named) {
		return named
	}
	noted, err := os.ReadFile(filepath.Join(stateDir, placeName))
	if err != nil || !filepath.IsAbs(string(noted)) || !answers(ctx, string(noted)) {
		return named
	}
	return string(noted)
}

// answers also takes a socket that this account may not use for one.
func answers(ctx context.Context, socket string) bool {
	conn, err := Dial(ctx, socket)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	_ = conn.Close()
	return true
}
