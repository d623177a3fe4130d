package local

import (
	"bufio"
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
	"mailhatch/upstream"
)

// FileKind is kind file.
func FileKind() upstream.Kind {
	return upstream.Kind{Name: "file", Doc: "stores mail in a maildir", New: func() upstream.Settings { return &fileSettings{} }}
}

// fileSettings are the keys of an upstream that stores mail in a maildir (https://cr.yp.to/proto/maildir.html).
type fileSettings struct {
	Path    string            `toml:"path"`    // the maildir; made when missing
	Timeout upstream.Duration `toml:"timeout"` // every kind has it; a disk cannot be hurried
}

// Open checks the path; directories are made at the first mail.
func (s *fileSettings) Open(env upstream.Env) (upstream.Upstream, error) {
	if s.Path == "" {
		return nil, &upstream.KeyError{Key: "path", Problem: "is missing", Hint: `for example path = "/var/mail/mailhatch"`}
	}
	host := strings.NewReplacer("/", "-", "\\", "-", ":", "-").Replace(env.Hostname)
	if host == "" {
		host = "localhost"
	}
	return &maildir{path: s.Path, host: host}, nil
}

// maildir is the upstream of kind file. Each recipient gets a copy, which names no other recipient of the
// envelope: Return-Path and Delivered-To stand at its top as after local delivery.
type maildir struct {
	path, host string
	serial     atomic.Uint64
}

// Send stores m: written and synced in tmp, then moved to new, so that a reader sees all of it or nothing.
func (u *maildir) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	out := make([]upstream.Outcome, len(m.To))
	for i, r := range m.To {
		err := ctx.Err()
		if err == nil {
			err = u.store(m, r.Address)
		}
		if out[i].ID = m.ID; err != nil {
			out[i] = upstream.Outcome{Err: &upstream.Error{Class: upstream.Temporary, Err: err}}
		}
	}
	return out
}

// Check makes the directories.
func (u *maildir) Check(context.Context) error {
	if err := u.makeDirs(); err != nil {
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	return nil
}

func (u *maildir) makeDirs() error {
	for _, dir := range []string{"", "tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(u.path, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (u *maildir) store(m *upstream.Mail, to string) (err error) {
	if err := u.makeDirs(); err != nil {
		return err
	}
	name := u.uniqueName()
	temporary := filepath.Join(u.path, "tmp", name)
	defer func() {
		if err != nil {
			_ = os.Remove(temporary)
		}
	}()
	if err := writeFile(temporary, m, to); err != nil {
		return err
	}
	final := filepath.Join(u.path, "new", name)
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := syncDir(filepath.Join(u.path, "new")); err != nil {
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

// writeMessage writes sender and recipient as trace fields, and the message without Bcc, line ends as they are.
func writeMessage(w io.Writer, m *upstream.Mail, to string) error {
	msg := m.Message
	if msg.Header.Get("Bcc") != "" || msg.Header.Get("Resent-Bcc") != "" {
		edited, err := msg.With(mime.Edit{Op: mime.Remove, Name: "Bcc"}, mime.Edit{Op: mime.Remove, Name: "Resent-Bcc"})
		if err != nil {
			return err
		}
		msg = edited
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
	_, err := io.Copy(w, msg.Reader())
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
