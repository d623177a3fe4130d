package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
)

// mbox stores mail in files of many messages (RFC 4155; lines that begin with From get a > in the manner of
// mboxrd). A file is locked as mail programs of Unix agree on: by FILE.lock, and by fcntl.
type mbox struct {
	path    mailboxPath
	timeout time.Duration // of waiting for a lock
	seed    maphash.Seed
	inUse   [64]chan struct{} // one token for the files of a hash: fcntl locks do not keep this program's own out
}

func newMbox(path mailboxPath, timeout time.Duration) *mbox {
	u := &mbox{path: path, timeout: timeout, seed: maphash.MakeSeed()}
	for i := range u.inUse {
		u.inUse[i] = make(chan struct{}, 1)
	}
	return u
}

// Send appends m to the file of each recipient.
func (u *mbox) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	return toEach(ctx, m, func(to string) error { return u.store(ctx, m, to) })
}

// Check makes the directory.
func (u *mbox) Check(context.Context) error {
	dir := u.path.root()
	if u.path.isFixed() {
		dir = filepath.Dir(dir)
	}
	return temporary(os.MkdirAll(dir, 0o700))
}

func (u *mbox) store(ctx context.Context, m *upstream.Mail, to string) error {
	path := u.path.of(to)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	inUse := u.inUse[maphash.String(u.seed, path)%uint64(len(u.inUse))]
	select {
	case inUse <- struct{}{}:
		defer func() { <-inUse }()
	case <-ctx.Done():
		return fmt.Errorf("%s is in use: %w", path, ctx.Err())
	}
	unlock, err := dotLock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	flags := os.O_RDWR | os.O_CREATE
	if !u.path.isFixed() {
		flags |= noFollow
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // what was written is synced
	if err := poll(ctx, func() error { return lockFile(f) }); err != nil {
		return fmt.Errorf("%s is locked by another program: %w", path, err)
	}
	return appendMessage(f, m, to)
}

// appendMessage writes the message behind those that are there, all of it or nothing.
func appendMessage(f *os.File, m *upstream.Mail, to string) (err error) {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", f.Name())
	}
	size := info.Size()
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Truncate(size))
		}
	}()
	gap, err := separator(f, size)
	if err != nil {
		return err
	}
	if _, err := f.Seek(size, io.SeekStart); err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	sender := "MAILER-DAEMON"
	if m.From != "" {
		sender = strings.ReplaceAll(oneLine(m.From), " ", "_")
	}
	fmt.Fprintf(w, "%sFrom %s %s\n", gap, sender, time.Now().UTC().Format(time.ANSIC))
	lines := &mboxWriter{w: w, atStart: true}
	if err := writeMessage(lines, m, to); err != nil {
		return err
	}
	if err := lines.end(); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if size == 0 {
		return syncDir(filepath.Dir(f.Name()))
	}
	return nil
}

// separator returns what is missing of the empty line that ends the last message.
func separator(f io.ReaderAt, size int64) (string, error) {
	if size == 0 {
		return "", nil
	}
	end := make([]byte, min(size, 2))
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return "", err
	}
	switch {
	case string(end) == "\n\n":
		return "", nil
	case end[len(end)-1] == '\n':
		return "\n", nil
	}
	return "\n\n", nil
}

// mboxWriter writes a message with the line ends of Unix, and lines that begin with From, or with > and From, with a
// > more.
type mboxWriter struct {
	w       *bufio.Writer
	atStart bool   // of a line, of which held is all so far
	held    []byte // > and what may become From and a space, or a CR
}

const fromLine = "From "

// Write implements io.Writer.
func (l *mboxWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		l.put(c)
	}
	return len(p), nil // the writer keeps its error for Flush
}

func (l *mboxWriter) put(c byte) {
	if n := len(l.held); n > 0 && l.held[n-1] == '\r' {
		if c == '\n' {
			l.held = l.held[:n-1]
		}
		l.flush()
	}
	switch {
	case c == '\n':
		l.flush()
		_ = l.w.WriteByte(c)
		l.atStart = true
		return
	case c == '\r':
		l.flush()
		l.held = append(l.held, c)
		return
	}
	if !l.atStart {
		_ = l.w.WriteByte(c)
		return
	}
	l.held = append(l.held, c)
	word := bytes.TrimLeft(l.held, ">")
	switch {
	case string(word) == fromLine:
		_ = l.w.WriteByte('>')
		l.flush()
	case !strings.HasPrefix(fromLine, string(word)) || len(l.held) > 1000:
		l.flush()
	}
}

// flush writes what was held back: it is nothing special.
func (l *mboxWriter) flush() {
	if len(l.held) > 0 {
		_, _ = l.w.Write(l.held)
		l.held, l.atStart = l.held[:0], false
	}
}

// end ends the last line and the message.
func (l *mboxWriter) end() error {
	l.flush()
	if !l.atStart {
		_ = l.w.WriteByte('\n')
	}
	return l.w.WriteByte('\n')
}

const lockPoll = 50 * time.Millisecond // between two looks at a lock

// poll tries until it gets another answer than errLocked, or ctx ends.
func poll(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, errLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

var errLocked = errors.New("it is locked")

// dotLock makes FILE.lock and returns what removes it. Where no file may be made beside the mailbox, as often in
// /var/mail, programs rely on fcntl alone, and so does this one. A lock whose owner has died is taken over.
func dotLock(ctx context.Context, path string) (unlock func(), err error) {
	name := path + ".lock"
	err = poll(ctx, func() error {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
		if errors.Is(err, os.ErrExist) {
			if isStale(name) && os.Remove(name) == nil {
				return errLocked // once more
			}
			return errLocked
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		return errors.Join(err, f.Close())
	})
	switch {
	case errors.Is(err, os.ErrPermission):
		return func() {}, nil
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%s is there: another program writes, or was killed when it did, and the file has to be removed: %w", name, err)
	case err != nil:
		return nil, err
	}
	return func() { _ = os.Remove(name) }, nil
}

// isStale reports whether the program that a lock names is gone. This one makes one lock at a time.
func isStale(name string) bool {
	b, err := os.ReadFile(name)
	if err != nil || len(b) > 20 {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return err == nil && pid > 0 && (pid == os.Getpid() || isGone(pid))
}
