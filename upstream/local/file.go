package local

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
)

// FileKind is kind file.
func FileKind() upstream.Kind {
	return upstream.Kind{Name: "file", Doc: "stores mail in a maildir or an mbox file",
		Traits: localTraits(), New: func() upstream.Settings { return &fileSettings{} }}
}

const (
	formatMaildir = "maildir" // https://cr.yp.to/proto/maildir.html
	formatMbox    = "mbox"    // RFC 4155

	defaultLockTime = 30 * time.Second
)

// fileSettings are the keys of an upstream that stores mail on this machine.
type fileSettings struct {
	Path    string            `toml:"path,template"` // the maildir or file, made when missing; with {local} and {domain} one for each recipient
	Format  string            `toml:"format"`        // maildir (default), mbox
	Timeout upstream.Duration `toml:"timeout"`       // of waiting for the lock of an mbox; default 30 s
}

// Open checks the path; directories are made at the first mail.
func (s *fileSettings) Open(env upstream.Env) (upstream.Upstream, error) {
	path := mailboxPath(s.Path)
	if err := errors.Join(path.check(), upstream.OneOf("format", cmp.Or(s.Format, formatMaildir), formatMaildir, formatMbox)); err != nil {
		return nil, err
	}
	if s.Format == formatMbox {
		return newMbox(path, cmp.Or(s.Timeout.Duration, defaultLockTime)), nil
	}
	host := strings.NewReplacer("/", "-", "\\", "-", ":", "-").Replace(env.Hostname)
	if host == "" {
		host = "localhost"
	}
	return &maildir{path: path, host: host}, nil
}

// maildir is the upstream of kind file. Each recipient gets a copy, which names no other recipient of the
// envelope: Return-Path and Delivered-To stand at its top as after local delivery.
type maildir struct {
	path   mailboxPath
	host   string
	serial atomic.Uint64
}

// Send stores m: written and synced in tmp, then moved to new, so that a reader sees all of it or nothing.
func (u *maildir) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	return toEach(ctx, m, func(to string) error { return u.store(m, to) })
}

// toEach stores m for one recipient after the other.
func toEach(ctx context.Context, m *upstream.Mail, store func(to string) error) []upstream.Outcome {
	out := make([]upstream.Outcome, len(m.To))
	for i, r := range m.To {
		err := ctx.Err()
		if err == nil {
			err = store(r.Address)
		}
		if out[i].ID = m.ID; err != nil {
			out[i] = upstream.Outcome{Err: temporary(err)}
		}
	}
	return out
}

// temporary classifies a failure of the disk.
func temporary(err error) error {
	if err == nil {
		return nil
	}
	return &upstream.Error{Class: upstream.Temporary, Err: err}
}

// Check makes the directories.
func (u *maildir) Check(context.Context) error {
	if !u.path.isFixed() {
		return temporary(os.MkdirAll(u.path.root(), 0o700))
	}
	return temporary(makeDirs(u.path.root()))
}

// makeDirs makes a maildir.
func makeDirs(path string) error {
	for _, dir := range []string{"", "tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(path, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (u *maildir) store(m *upstream.Mail, to string) (err error) {
	path := u.path.of(to)
	if err := makeDirs(path); err != nil {
		return err
	}
	name := u.uniqueName()
	temporary := filepath.Join(path, "tmp", name)
	defer func() {
		if err != nil {
			_ = os.Remove(temporary)
		}
	}()
	if err := writeFile(temporary, m, to); err != nil {
		return err
	}
	final := filepath.Join(path, "new", name)
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := syncDir(filepath.Join(path, "new")); err != nil {
		_ = os.Remove(final) // not known to be safe: the next attempt stores it again
		return err
	}
	return nil
}

// uniqueName follows the maildir convention: time, what makes it unique, host.
func (u *maildir) uniqueName() string {
	now := time.Now()
	return fmt.Sprintf("%d.M%dP%dQ%dR%s.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), u.serial.Add(1), rand.Text(), u.host)
}

func writeFile(path string, m *upstream.Mail, to string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 64<<10)
	if err := writeMessage(w, m, to); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// writeMessage writes sender and recipient as trace fields, and the message without Bcc, the trace of another delivery
// and the separator of a mailbox file, line ends as they are.
func writeMessage(w io.Writer, m *upstream.Mail, to string) error {
	msg, err := wire.Clean(m.Message, mime.Edit{Op: mime.Remove, Name: "Bcc"}, mime.Edit{Op: mime.Remove, Name: "Resent-Bcc"},
		mime.Edit{Op: mime.Remove, Name: "Return-Path"})
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <%s>\r\n", oneLine(m.From))
	fmt.Fprintf(&b, "Delivered-To: %s\r\n", oneLine(to))
	if m.ID != "" {
		fmt.Fprintf(&b, "X-Mailhatch-Id: %s\r\n", oneLine(m.ID))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	_, err = io.Copy(w, msg.Reader())
	return err
}

// oneLine keeps a value on its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// syncDir makes a new name durable. Windows cannot sync directories.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
