package admin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

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
	named := filepath.Join(runDir, SocketName)
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
	conn, err := dial(ctx, socket)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	_ = conn.Close()
	return true
}
