package maildrop

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mailhatch/gateway/envelope"
)

const (
	partPrefix = "part-" // of a file that is being written
	mailPrefix = "mail-" // of a file that is whole
	nameLength = 26      // of rand.Text, which has 128 bits of randomness
)

// Space that a message must leave: the gateway needs some to take the maildrop in.
const (
	reserveBytes = 32 << 20 // or a twentieth of the file system where that is less
	reserveFiles = 1000     // likewise
)

// Write puts a message of size bytes into the maildrop dir. When it returns nil, the message is on
// stable storage; after an error nothing is kept. Errors wrap ErrFull, ErrUnsafe, ErrUnsupported or
// those of the file system.
func Write(dir string, env *envelope.Envelope, size int64, message io.Reader) error {
	if err := write(dir, env, size, message); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("maildrop: %w", err)
	}
	return nil
}

func write(dir string, env *envelope.Envelope, size int64, message io.Reader) (err error) {
	info, err := checkDir(dir)
	if err != nil {
		return err
	}
	if err := checkSpace(dir, size); err != nil {
		return err
	}
	name := rand.Text()
	path, final := filepath.Join(dir, partPrefix+name), filepath.Join(dir, mailPrefix+name)
	f, err := create(path, info)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeEither(path, final))
		}
		_ = f.Close() // synced, or of no more use
	}()
	if err := encode(f, env, size, message); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(path, final); err != nil {
		return err
	}
	return syncEntry(dir, f)
}

// checkDir refuses a directory in which files could be listed or removed by others.
func checkDir(dir string) (fs.FileInfo, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || info.Mode()&fs.ModeSticky == 0 || info.Mode().Perm()&0o044 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %v", ErrUnsafe, dir, info.Mode())
	}
	return info, nil
}

// isName reports whether a name is one that write makes, with a prefix.
func isName(name, prefix string) bool {
	random, ok := strings.CutPrefix(name, prefix)
	return ok && len(random) == nameLength && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// removeEither removes a file that has one of two names.
func removeEither(names ...string) error {
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
