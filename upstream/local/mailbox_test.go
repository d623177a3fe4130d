package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func TestMailboxPath(t *testing.T) {
	for address, want := range map[string]string{
		"Ann.Lee@Example.org":    "/var/mail/example.org/ann.lee",
		"../../etc/passwd@x.org": "/var/mail/x.org/%2E.%2F..%2Fetc%2Fpasswd",
		`"../x y"@x.org`:         "/var/mail/x.org/%2E.%2Fx%20y",
		"..@x.org":               "/var/mail/x.org/%2E.",
		"a\x00b@x.org":           "/var/mail/x.org/a%00b",
		`a\b@x.org`:              "/var/mail/x.org/a%5Cb",
		"%2F@x.org":              "/var/mail/x.org/%252f",
		"{domain}@x.org":         "/var/mail/x.org/{domain}",
		"jörg@x.org":             "/var/mail/x.org/jörg",
		"ann":                    "/var/mail/%/ann",
		"ann@..":                 "/var/mail/%2E./ann",
		"ann@../..":              "/var/mail/%2E.%2F../ann",
		"":                       "/var/mail/%/%",
	} {
		if got := mailboxPath("/var/mail/{domain}/{local}").of(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
	for path, root := range map[string]string{"/var/mail/{local}": "/var/mail", "/var/mail/x-{local}/Maildir": "/var/mail", "/srv/{domain}/{local}": "/srv",
		"/srv/all": "/srv/all", "{local}": "."} {
		if got := filepath.ToSlash(mailboxPath(path).root()); got != root {
			t.Errorf("%s: %s", path, got)
		}
	}
	for path, bad := range map[string]bool{"": true, "/m/{user}": true, "/m/{local": true, "$HOME/mail": true, "${HOME}/m": true, "/m/%u": true, "/m/{local}": false, "/m/$": false} {
		if err := mailboxPath(path).check(); (err != nil) != bad {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestMailboxes: each recipient has a mailbox, in both forms, and none leads out of the directory.
func TestMailboxes(t *testing.T) {
	for _, format := range []string{"maildir", "mbox"} {
		dir := t.TempDir()
		inside := filepath.Join(dir, "inside")
		u := openLocal(t, &fileSettings{Path: filepath.Join(inside, "{domain}", "{local}"), Format: format}, upstream.Env{})
		if err := u.(upstream.Checker).Check(context.Background()); err != nil {
			t.Fatal(err)
		}
		m := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "ann@x.org", "BOB@x.org", `"../../../out"@x.org`, "bob@y.org")
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok 01TEST", "ok 01TEST", "ok 01TEST", "ok 01TEST")
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: %v", format, entries)
		}
		for _, name := range []string{"x.org/ann", "x.org/bob", "x.org/%2E.%2F..%2F..%2Fout", "y.org/bob"} {
			path := filepath.Join(inside, filepath.FromSlash(name))
			if format == "maildir" {
				path = filepath.Join(path, "new")
				if entries, err := os.ReadDir(path); err != nil || len(entries) != 1 {
					t.Errorf("%s: %v, %v", path, entries, err)
				}
				continue
			}
			if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("\nDelivered-To: ")) != 1 {
				t.Errorf("%s: %q, %v", path, b, err)
			}
		}
	}
}

var envelopeLine = regexp.MustCompile(`(?m)^From \S+ [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}$`)

func TestMbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "mbox")
	u := openLocal(t, &fileSettings{Path: path, Format: "mbox"}, upstream.Env{})
	if err := u.(upstream.Checker).Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	m := upstreamtest.NewMail(t, "Bcc: hidden@x\r\nSubject: x\r\n\r\nFrom here\r\n>From there\nfrom\r\n>>\rFrom \r\r\nFro", "b@x")
	m.From = ""
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok 01TEST")
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			u.Send(context.Background(), upstreamtest.NewMail(t, "Subject: y\r\n\r\nbody\r\n", "b@x", "c@x"))
		})
	}
	work.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const first = "From MAILER-DAEMON *\nReturn-Path: <>\nDelivered-To: b@x\nX-Mailhatch-Id: 01TEST\nSubject: x\n\n" +
		">From here\n>>From there\nfrom\n>>\rFrom \r\nFro\n\n"
	messages := strings.SplitAfter(string(b), "\n\nFrom a@example.com")
	if len(messages) != 41 || envelopeLine.ReplaceAllStringFunc(messages[0], func(s string) string {
		return strings.Join(strings.Fields(s)[:2], " ") + " *"
	}) != strings.TrimSuffix(first, "\n\n")+"\n\nFrom a@example.com" {
		t.Errorf("%d messages, the first %q", len(messages), messages[0])
	}
	if n := len(envelopeLine.FindAllString(string(b), -1)); n != 41 || !strings.HasSuffix(string(b), "\nSubject: y\n\nbody\n\n") {
		t.Errorf("%d envelope lines; the end is %q", n, b[len(b)-60:])
	}
	if _, err := os.Stat(path + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock is left: %v", err)
	}
}

// TestMboxSeparates: what another program left without its empty line stays a message of its own.
func TestMboxSeparates(t *testing.T) {
	for before, gap := range map[string]string{"": "", "From a b\n\nx\n\n": "", "From a b\n\nx\n": "\n", "From a b\n\nx": "\n\n", "\n": "\n"} {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		u := openLocal(t, &fileSettings{Path: path, Format: "mbox"}, upstream.Env{})
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, "Subject: x\r\n\r\n", "b@x")), "ok 01TEST")
		if b, _ := os.ReadFile(path); !strings.HasPrefix(string(b), before+gap+"From a@example.com ") {
			t.Errorf("%q: %q", before, b)
		}
	}
}

// TestMboxWholeOrNothing: a message that cannot be read to its end leaves nothing of itself.
func TestMboxWholeOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	const before = "From a b\n\nx\n\n"
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	u := openLocal(t, &fileSettings{Path: path, Format: "mbox"}, upstream.Env{})
	source := brokenSource{mime.NewBytesSource([]byte("Subject: x\r\n\r\n" + strings.Repeat("line\r\n", 50_000)))}
	msg, err := mime.Parse(mime.NewBytesSource([]byte("Subject: x\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	msg.Source = source
	m := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x")
	m.Message = msg
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "temporary")
	if b, _ := os.ReadFile(path); string(b) != before {
		t.Errorf("%d bytes are left", len(b))
	}
}

// brokenSource cannot be read beyond 200,000 bytes.
type brokenSource struct{ mime.Source }

func (s brokenSource) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 200_000 {
		return 0, iotest.ErrTimeout
	}
	return s.Source.ReadAt(p, off)
}

func TestMboxLocks(t *testing.T) {
	short := upstream.Duration{Duration: 200 * time.Millisecond}
	for name, tc := range map[string]struct {
		lock string
		want string
	}{
		"another program's": {strconv.Itoa(os.Getppid()), "temporary"},
		"of no program":     {"hello", "temporary"},
		"empty":             {"", "temporary"},
		"its own, of old":   {strconv.Itoa(os.Getpid()), "ok 01TEST"},
	} {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path+".lock", []byte(tc.lock), 0o600); err != nil {
			t.Fatal(err)
		}
		u := openLocal(t, &fileSettings{Path: path, Format: "mbox", Timeout: short}, upstream.Env{})
		out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x"))
		if got := upstreamtest.Describe(out)[0]; got != tc.want {
			t.Errorf("%s: %s: %v", name, got, out[0].Err)
		}
		if tc.want == "temporary" && !strings.Contains(fmt.Sprint(out[0].Err), path+".lock is there") {
			t.Errorf("%s: %v", name, out[0].Err)
		}
	}
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	u := openLocal(t, &fileSettings{Path: path, Format: "mbox"}, upstream.Env{})
	time.AfterFunc(100*time.Millisecond, func() { _ = os.Remove(path + ".lock") })
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x")), "ok 01TEST")
}

// TestMboxIsAFile: a directory or a link in the place of a mailbox gets nothing.
func TestMboxIsAFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "ann"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := []string{"temporary"}
	to := []string{"ann@x"}
	if noFollow != 0 {
		if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "bob")); err != nil {
			t.Fatal(err)
		}
		want, to = append(want, "temporary"), append(to, "bob@x")
	}
	u := openLocal(t, &fileSettings{Path: filepath.Join(dir, "{local}"), Format: "mbox"}, upstream.Env{})
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, to...)), want...)
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the link was followed")
	}
}

// FuzzMboxWriter: whatever the pieces, there is one message, and without the > that were added it is the one that was.
func FuzzMboxWriter(f *testing.F) {
	f.Add([]byte("From a\r\n>From b\n\r\r\n"), 3)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		mbox, err := io.ReadAll(mboxOf(t, body, max(size, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(mbox, []byte(fromLine)) || bytes.Contains(mbox, []byte("\n"+fromLine)) {
			t.Fatalf("%q has two messages", mbox)
		}
		back := regexp.MustCompile(`(?m)^>(>{0,900}From )`).ReplaceAll(mbox, []byte("$1"))
		want := append(bytes.TrimSuffix(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n")), "\n\n"...)
		if len(bytes.TrimSuffix(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n"))) == 0 {
			return // nothing but line ends
		}
		if !bytes.Equal(back, want) && !bytes.Contains(body, bytes.Repeat([]byte(">"), 800)) {
			t.Errorf("%q became %q", body, mbox)
		}
	})
}

// mboxOf writes a body in pieces.
func mboxOf(t *testing.T, body []byte, size int) io.Reader {
	t.Helper()
	var b bytes.Buffer
	l := &mboxWriter{w: bufio.NewWriter(&b), atStart: true}
	for len(body) > 0 {
		n := min(size, len(body))
		if _, err := l.Write(body[:n]); err != nil {
			t.Fatal(err)
		}
		body = body[n:]
	}
	if err := errors.Join(l.end(), l.w.Flush()); err != nil {
		t.Fatal(err)
	}
	return &b
}
