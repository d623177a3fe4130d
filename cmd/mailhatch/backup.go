package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/backup"
	"mailhatch/gateway/queue/engines"
)

// runBackup writes a copy of the state into a new file.
func runBackup(ctx context.Context, a *app, args []string) error {
	rest, err := command.Parse(a.flags("backup"), args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return command.Usagef("backup takes the name of a new file")
	}
	path := rest[0]
	if path == "-" {
		return command.Hintf(command.Usagef("backup needs the name of the file to write"), "./- is a file of that name")
	}
	if _, err := os.Lstat(path); err == nil {
		return command.Hintf(fmt.Errorf("%s already exists", path), "a backup never replaces a file: choose another name")
	}
	size, err := wholeFile(path, func(w io.Writer) error { return a.backup(ctx, w, filepath.Dir(path)) })
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: nothing was written", command.ErrInterrupted)
	case err != nil:
		return err
	}
	fmt.Fprintf(a.stdout, "%s is written, %s: all mail and all tokens are in it, readable by this account alone\n", path, terminal.Size(size))
	return nil
}

// backup packs the state of the running gateway or, if none runs, of its state directory. work is for a copy.
func (a *app) backup(ctx context.Context, w io.Writer, work string) error {
	client, stateDir, err := a.client(ctx)
	if err == nil {
		defer client.Close()
		return client.Backup(ctx, w)
	}
	if !errors.Is(err, api.ErrNotRunning) {
		return err
	}
	engine, settings, err := a.storeOf(stateDir)
	if err != nil {
		return err
	}
	store, err := engines.Read(ctx, engine, settings)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return command.Hintf(fmt.Errorf("the gateway is not running and %s contains no queue", stateDir), "name its config with -c")
	case errors.Is(err, fs.ErrPermission):
		return command.Hintf(err, hintUser)
	case err != nil:
		return err
	}
	defer store.Close() //nolint:errcheck // only read
	dir, err := os.MkdirTemp(work, ".mailhatch-backup-")
	if err != nil {
		return err
	}
	return errors.Join(backup.Write(ctx, w, store.Backup, stateDir, dir), os.RemoveAll(dir))
}

// wholeFile makes a file for this account alone, whole or not at all, and returns its size.
func wholeFile(path string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if failure, ok := errors.AsType[*fs.PathError](err); ok {                // whose name says nothing to anybody
		return 0, fmt.Errorf("%s: %w", path, failure.Err)
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err = write(&steady{f: f}); err == nil {
		err = f.Sync()
	}
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if err = os.Link(f.Name(), path); err == nil { // unlike a renaming it replaces nothing
		return size, os.Remove(f.Name())
	}
	if !errors.Is(err, fs.ErrExist) { // a file system without links
		err = os.Rename(f.Name(), path)
	}
	return size, err
}

// steadyStep is how many bytes of a file are written before they are put on stable storage.
const steadyStep = 1 << 20

// steady puts a long file on stable storage bit by bit: a gateway on the same disk waits for its own fsync behind what is on
// the way there.
type steady struct {
	f       *os.File
	written int
}

// Write implements io.Writer.
func (s *steady) Write(p []byte) (n int, err error) {
	n, err = s.f.Write(p)
	if s.written += n; err == nil && s.written >= steadyStep {
		s.written = 0
		err = s.f.Sync()
	}
	return n, err
}
