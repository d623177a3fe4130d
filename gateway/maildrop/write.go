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

// Unknown is the size of a message that nobody has counted.
const Unknown = -1

// spaceEvery is how many bytes of such a message are written between two looks at the space that is left.
const spaceEvery = 16 << 20

// Write puts a message of size bytes, or of Unknown size, into the maildrop dir. When it returns nil, the
// message is on stable storage; after an error nothing is kept. Errors wrap ErrFull, ErrUnsafe, ErrUnsupported,
// or those of the file system or of message.
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
	if err := checkSpace(dir, max(size, 0)); err != nil {
		return err
	}
	if size == Unknown {
		message = &spaceReader{r: message, dir: dir}
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
	count, err := encode(f, env, size, message)
	if err == nil && count != "" {
		_, err = f.WriteAt([]byte(count), int64(len(magic)))
	}
	if err != nil {
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

// Usable returns why a message cannot be put into the maildrop dir; nil when it probably can.
func Usable(dir string) error {
	if _, err := checkDir(dir); err != nil {
		return err
	}
	if err := checkSpace(dir, 0); err != nil {
		return err
	}
	return mayWrite(dir)
}

// spaceReader reads a message for as long as there is space for it.
type spaceReader struct {
	r    io.Reader
	dir  string
	next int64 // bytes until the next look
}

// Read implements io.Reader.
func (s *spaceReader) Read(p []byte) (int, error) {
	if s.next <= 0 {
		if err := checkSpace(s.dir, spaceEvery); err != nil {
			return 0, err
		}
		s.next = spaceEvery
	}
	n, err := s.r.Read(p)
	s.next -= int64(n)
	return n, err
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
