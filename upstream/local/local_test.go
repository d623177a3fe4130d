package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

const localTestMessage = "Bcc: hidden@x\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <a@example.com>\r\nTo: b@example.org, c@example.org\r\nCc: d@example.org\r\n" +
	"Subject: =?utf-8?q?evil_=1B[2J_=C2=9B_=E2=80=AE?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" +
	"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHello\tyou\x1b]0;title\x07\r\nsecond\r\n" +
	"--x\r\nContent-Type: application/pdf; name=\"a\x1b.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--\r\n"

func openLocal(t testing.TB, s upstream.Settings, env upstream.Env) upstream.Upstream {
	t.Helper()
	u, err := s.Open(env)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestConsole(t *testing.T) {
	for _, test := range []struct {
		name, source string
		full         bool
		want         string
	}{
		{"summary", localTestMessage, false, `──── mail 01TEST ────
envelope    <a@example.com> to <b@example.org> <hidden@x>
from        Jürgen <a@example.com>
to          b@example.org, c@example.org
cc          d@example.org
subject     evil \u001b[2J \u009b \u202e
size        422 bytes

Hello	you\u001b]0;title\u0007
second

attachment  a.pdf (application/pdf, 3 bytes)
────
`},
		{"full", "Subject: x\r\n\r\na\x00\xff\r\n", true, "──── mail 01TEST ────\nenvelope    <a@example.com> to <b@example.org> <hidden@x>\n\nSubject: x\n\na\\u0000\uFFFD\n────\n"},
		{"HTML only", "Subject: x\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n", false, `──── mail 01TEST ────
envelope    <a@example.com> to <b@example.org> <hidden@x>
subject     x
size        49 bytes

(HTML only, 10 bytes)
────
`},
		{"signed", "Content-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x\r\nContent-Type: application/pgp-signature\r\n\r\ns\r\n--x--\r\n",
			false, "kind        multipart/signed\n"},
		{"long", "Subject: x\r\n\r\n" + strings.Repeat("line\r\n", 100), false, "\n" + strings.Repeat("line\n", maxTextLines) + "…\n────\n"},
		{"wide", "Content-Type: text/plain; charset=utf-8\r\n\r\nx" + strings.Repeat("ä", 5000), false, "\nx" + strings.Repeat("ä", 999) + "\n…\n────\n"},
		{"big", "Subject: x\r\n\r\n" + strings.Repeat("x", 12<<10), false, "size        12 kB\n"},
		{"a large one", "Subject: x\r\n\r\n" + strings.Repeat("x", 12<<20), false, "size        12 MB\n"},
		{"huge", "Subject: x\r\n\r\n" + strings.Repeat("x", 2<<20), true, "x\n… 1024 kB more\n────\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			u := openLocal(t, &consoleSettings{Full: test.full}, upstream.Env{Stdout: &out})
			m := upstreamtest.NewMail(t, test.source, "b@example.org", "hidden@x")
			upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok 01TEST", "ok 01TEST")
			if strings.HasPrefix(test.want, "──── mail") {
				if diff := cmp.Diff(test.want, out.String()); diff != "" {
					t.Error(diff)
				}
			} else if !strings.Contains(out.String(), test.want) {
				t.Errorf("%.3000s", out.String())
			}
			var rendered bytes.Buffer
			if err := u.(upstream.Renderer).Render(m, &rendered); err != nil || rendered.String() != out.String() {
				t.Errorf("Render gives something else: %v", err)
			}
		})
	}
}

// TestConsoleStalled has an output that nobody reads: attempts end in time, and the mail that was begun is
// written when somebody does.
func TestConsoleStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		u := openLocal(t, &consoleSettings{}, upstream.Env{Stdout: w})
		for _, want := range []string{"uncertain", "temporary"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			m := upstreamtest.NewMail(t, "Subject: "+want+"\r\n\r\n", "b@example.org")
			upstreamtest.CheckOutcomes(t, u.Send(ctx, m), want)
			cancel()
		}
		b := make([]byte, 1<<10)
		n, err := r.Read(b)
		if !strings.Contains(string(b[:n]), "subject     uncertain\n") {
			t.Errorf("%q %v", b[:n], err)
		}
		synctest.Wait()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		m := upstreamtest.NewMail(t, "Subject: next\r\n\r\n", "b@example.org")
		upstreamtest.CheckOutcomes(t, u.Send(t.Context(), m), "ok 01TEST")
		w.Close()
	})
}

// countingWriter counts writes: each mail must come in one.
type countingWriter struct {
	mu     sync.Mutex
	writes int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	return len(p), nil
}

func TestConsoleWritesAtOnce(t *testing.T) {
	out := &countingWriter{}
	u := openLocal(t, &consoleSettings{}, upstream.Env{Stdout: out})
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() { u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x")) })
	}
	if work.Wait(); out.writes != 8 {
		t.Errorf("%d writes for 8 mails", out.writes)
	}
}

func TestLocalFailuresAreTemporary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	broken := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x", "c@x")
	broken.Message.Source = upstreamtest.BrokenSource{Source: broken.Message.Source}
	good := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x", "c@x")
	for _, test := range []struct {
		name     string
		settings upstream.Settings
		ctx      context.Context
		mail     *upstream.Mail
	}{
		{"console that cannot be written to", &consoleSettings{}, context.Background(), good},
		{"console, full, message unreadable", &consoleSettings{Full: true}, context.Background(), broken},
		{"console, context ended", &consoleSettings{}, ended, good},
		{"memory, message unreadable", &memorySettings{Keep: 1}, context.Background(), broken},
		{"memory, context ended", &memorySettings{Keep: 1}, ended, good},
		{"file in a file", &fileSettings{Path: file}, context.Background(), good},
		{"file, message unreadable", &fileSettings{Path: t.TempDir()}, context.Background(), broken},
		{"file, context ended", &fileSettings{Path: t.TempDir()}, ended, good},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := openLocal(t, test.settings, upstream.Env{Stdout: upstreamtest.FailingWriter{}})
			upstreamtest.CheckOutcomes(t, u.Send(test.ctx, test.mail), "temporary", "temporary")
			if s, ok := test.settings.(*fileSettings); ok {
				for _, dir := range []string{"tmp", "new"} {
					if left, _ := os.ReadDir(filepath.Join(s.Path, dir)); len(left) > 0 {
						t.Errorf("%s holds %v", dir, left)
					}
				}
			}
			if r, ok := u.(upstream.Renderer); ok && r.Render(test.mail, upstreamtest.FailingWriter{}) == nil {
				t.Error("Render tells of no error")
			}
		})
	}
}

func TestLocalOpenErrors(t *testing.T) {
	for _, s := range []upstream.Settings{&consoleSettings{}, &memorySettings{}, &memorySettings{Keep: 1 << 30}, &fileSettings{}} {
		if _, err := s.Open(upstream.Env{}); err == nil {
			t.Errorf("%+v opens", s)
		}
	}
}

func TestMemory(t *testing.T) {
	u := openLocal(t, &memorySettings{Keep: 3}, upstream.Env{}).(*Memory)
	u.maxBytes = 1000
	send := func(id string, size int) {
		m := upstreamtest.NewMail(t, strings.Repeat("x", size), "b@x", "hidden@x")
		m.ID = id
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok "+id, "ok "+id)
	}
	kept := func() string {
		var s []string
		for _, m := range u.Messages() {
			s = append(s, fmt.Sprint(m.ID, ":", len(m.Source)))
		}
		return strings.Join(s, " ")
	}
	for i, test := range []struct {
		id   string
		size int
		want string
	}{
		{"a", 100, "a:100"}, {"b", 100, "a:100 b:100"}, {"c", 100, "a:100 b:100 c:100"},
		{"d", 100, "b:100 c:100 d:100"}, // by number
		{"e", 850, "d:100 e:850"},       // by bytes
		{"f", 1000, "f:1000"}, {"g", 5000, "g:1000"}, {"h", 1, "h:1"},
	} {
		if send(test.id, test.size); kept() != test.want {
			t.Errorf("%d: kept %q, want %q", i, kept(), test.want)
		}
		if last := u.Messages(); last[len(last)-1].Cut != (test.size > 1000) {
			t.Errorf("%d: Cut %v", i, !(test.size > 1000))
		}
	}
	m := u.Messages()[0]
	if m.From != "a@example.com" || len(m.To) != 2 || m.To[1].Address != "hidden@x" || m.Time.IsZero() {
		t.Errorf("%+v", m)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "maildir")
	u := openLocal(t, &fileSettings{Path: path}, upstream.Env{Hostname: "a/b:c"})
	if err := u.(upstream.Checker).Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	m := upstreamtest.NewMail(t, ">From z@x\r\nReturn-Path: <z@x>\r\nBcc: hidden@x\r\nSubject: x\rBcc: y\r\n\r\n>From z\r\xff\r\n", "b@x", "hidden@x")
	m.To = append(m.To, upstream.Recipient{Address: "evil\r\nX: 1@x"})
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "ok 01TEST", "ok 01TEST", "ok 01TEST")
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() { u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x")) })
	}
	work.Wait()
	entries, err := os.ReadDir(filepath.Join(path, "new"))
	if err != nil || len(entries) != 23 {
		t.Fatalf("%d files: %v", len(entries), err)
	}
	want := map[string]bool{}
	for _, to := range []string{"b@x", "hidden@x", "evilX: 1@x"} {
		want["Return-Path: <a@example.com>\r\nDelivered-To: "+to+"\r\nX-Mailhatch-Id: 01TEST\r\nSubject: x Bcc: y\r\n\r\n>From z\r\xff\r\n"] = true
	}
	for _, e := range entries {
		name := filepath.Join(path, "new", e.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		delete(want, string(data))
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		if strings.ContainsAny(e.Name(), "/:\\") || !strings.HasSuffix(e.Name(), ".a-b-c") {
			t.Errorf("name %q", e.Name())
		}
	}
	if len(want) > 0 {
		t.Errorf("copies missing: %v", want)
	}
	for _, dir := range []string{"", "tmp", "new", "cur"} {
		info, err := os.Stat(filepath.Join(path, dir))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
			t.Errorf("%q has mode %v", dir, info.Mode())
		}
	}
	if left, _ := os.ReadDir(filepath.Join(path, "tmp")); len(left) > 0 {
		t.Errorf("tmp holds %v", left)
	}
}

func TestFileCheckFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	u := openLocal(t, &fileSettings{Path: file}, upstream.Env{})
	var e *upstream.Error
	if err := u.(upstream.Checker).Check(context.Background()); !errors.As(err, &e) || e.Class != upstream.Temporary {
		t.Errorf("%v", err)
	}
}
