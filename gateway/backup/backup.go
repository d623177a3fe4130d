// Package backup packs a copy of the state of a gateway into one file, a tar archive (POSIX.1-2001) that is unpacked into
// a state directory to restore it.
//
// It holds the store of the queue, with its history, and the access tokens of upstreams. Mail that sendmail left in the
// maildrop is not in it: the gateway takes that into the queue within seconds.
package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// workName is the directory in which a copy is made before it is packed. One that a crash has left is removed.
const workName = "backup.tmp"

// tokensName is the directory of access tokens in a state directory.
const tokensName = "tokens"

// Copier copies a store, as it is at one moment, into a new directory: queue.Operator.Backup.
type Copier func(ctx context.Context, dir string) error

// Write copies a store and packs the copy into w. Meanwhile it takes as much space in the directory work as the store has.
// Nobody else may use that directory for a backup.
func Write(ctx context.Context, w io.Writer, store Copier, stateDir, work string) (err error) {
	dir := filepath.Join(work, workName)
	if err = os.RemoveAll(dir); err == nil {
		err = store(ctx, dir)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t := tar.NewWriter(w)
	if err := pack(ctx, t, dir, "."); err != nil {
		return err
	}
	err = pack(ctx, t, filepath.Join(stateDir, tokensName), tokensName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return t.Close()
}

// pack adds what is below a directory under a name.
func pack(ctx context.Context, t *tar.Writer, dir, under string) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		at := filepath.Join(dir, filepath.FromSlash(name))
		if name = path.Join(under, name); name == "." {
			return nil // the state directory itself keeps its mode
		}
		switch {
		case d.IsDir():
			return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700, ModTime: time.Now(), Format: tar.FormatPAX})
		case d.Type().IsRegular():
			return packFile(ctx, t, at, name)
		}
		return fmt.Errorf("%s is not a file", at)
	})
}

// packFile adds a file with the size that it has when it is opened.
func packFile(ctx context.Context, t *tar.Writer, at, name string) error {
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(t, reader{ctx, f}, h.Size)
	return err
}

// reader ends with a context.
type reader struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
