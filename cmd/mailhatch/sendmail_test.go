package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

func TestSendmailFlags(t *testing.T) {
	empty, ann := "", "ann@example.com"
	for _, c := range []struct {
		args string
		want sendmailFlags
	}{
		{"a@b c@d", sendmailFlags{to: []string{"a@b", "c@d"}}},
		{"a@b -t -- -c@d -x", sendmailFlags{fromHeader: true, to: []string{"a@b", "-c@d", "-x"}}},
		{"-", sendmailFlags{to: []string{"-"}}},
		{"-ti", sendmailFlags{fromHeader: true, dots: true}},
		{"-tif ann@example.com x", sendmailFlags{fromHeader: true, dots: true, sender: &ann, to: []string{"x"}}},
		{"-fann@example.com", sendmailFlags{sender: &ann}},
		{"-r ann@example.com", sendmailFlags{sender: &ann}},
		{"-f | x", sendmailFlags{sender: &empty, to: []string{"x"}}},
		{"-oi -oem -odb -o i -ov", sendmailFlags{dots: true, verbose: true}},
		{"-FAnn -v", sendmailFlags{fullName: "Ann", verbose: true}},
		{"-B 8bitmime", sendmailFlags{body: "8BITMIME"}},
		{"-N success,FAILURE -R HDRS -V id+1", sendmailFlags{notify: []string{"SUCCESS", "FAILURE"}, ret: "HDRS", envID: "id+1"}},
		{"-Nnever -Rfull", sendmailFlags{notify: []string{"NEVER"}, ret: "FULL"}},
		{"-em -q15m", sendmailFlags{mode: 'q'}},
		{"-bm", sendmailFlags{}},
		{"-bs", sendmailFlags{mode: 's'}},
		{"-b p", sendmailFlags{mode: 'p'}},
		{"-I", sendmailFlags{mode: 'i'}},
		{"-OTimeout.queuereturn=1d -O x -L tag -h5 -p local", sendmailFlags{}},
	} {
		if c.want.mode == 0 {
			c.want.mode = 'm'
		}
		words := strings.Fields(c.args)
		for i, w := range words {
			if w == "|" { // an empty word
				words[i] = ""
			}
		}
		got, err := parseSendmail(words)
		if err != nil || !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.args, got, err, c.want)
		}
	}
	for _, args := range []string{"-f", "-B", "-B 9BIT", "-N sometimes", "-N never,delay", "-R some", "-V ä", "-bd", "-bt", "-bv", "-X log", "-Cfile", "-M id", "-Z", "--help"} {
		if _, err := parseSendmail(strings.Fields(args)); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}

func TestReadInput(t *testing.T) {
	for _, c := range []struct{ name, in, header, body string }{
		{"header and body", "A: 1\nB: 2\n 3\n\nbody\n", "A: 1\r\nB: 2\r\n 3\r\n\r\n", "body\r\n"},
		{"CRLF", "A: 1\r\n\r\nbody\r\n", "A: 1\r\n\r\n", "body\r\n"},
		{"header alone", "A: 1\n", "A: 1\r\n\r\n", ""},
		{"header without a line end", "A: 1", "A: 1\r\n\r\n", ""},
		{"nothing", "", "\r\n", ""},
		{"body alone", "just text: no, really\nmore\n\nend", "\r\n", "just text: no, really\r\nmore\r\n\r\nend"},
		{"body behind an empty line", "\nbody: 1\n", "\r\n", "body: 1\r\n"},
		{"body without an empty line", "A: 1\nbody here\n\nend\n", "A: 1\r\n\r\n", "body here\r\n\r\nend\r\n"},
		{"mailbox", "From ann Mon\nA: 1\n\nbody", "A: 1\r\n\r\n", "body"},
		{"byte order mark, mailbox", "\ufeffFrom ann Mon\nA: 1\n\nbody", "A: 1\r\n\r\n", "body"},
		{"quoted mailbox", ">From ann Mon\nA: 1\n\nbody", "A: 1\r\n\r\n", "body"},
		{"byte order mark", "\ufeffA: 1\n\n\ufeffbody", "A: 1\r\n\r\n", "\ufeffbody"},
		{"long body", strings.Repeat("no header\n", 200000), "\r\n", strings.Repeat("no header\r\n", 200000)},
	} {
		_, header, body, err := readInput(strings.NewReader(c.in), false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, err := io.ReadAll(body)
		if string(header) != c.header || string(b) != c.body || err != nil {
			t.Errorf("%s: header %q, body %.60q, %v", c.name, header, b, err)
		}
	}
	var exit *exitError
	if _, _, _, err := readInput(strings.NewReader(strings.Repeat("A: 1\n", 300000)), false); !errors.As(err, &exit) || exit.code != exDataErr {
		t.Errorf("an endless header: %v", err)
	}
	if _, _, _, err := readInput(iotest.ErrReader(io.ErrClosedPipe), false); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("broken input: %v", err)
	}
}

// TestReadInputBroken: a line that is no field must neither show hidden recipients nor hide others.
func TestReadInputBroken(t *testing.T) {
	for _, c := range []struct {
		name, in     string
		fromHeader   bool
		header, body string
	}{
		{"hidden recipient", "To: a\nMIME-Version 1.0\nBcc: b\n\nx\n", false, "To: a\r\nMIME-Version 1.0\r\nBcc: b\r\n\r\n", "x\r\n"},
		{"resent", "A: 1\noops\nresent-bcc : b\n\nx\n", false, "A: 1\r\noops\r\nresent-bcc : b\r\n\r\n", "x\r\n"},
		{"recipient of -t", "To: a\noops\nCc: b\n\nx\n", true, "To: a\r\noops\r\nCc: b\r\n\r\n", "x\r\n"},
		{"no recipient without -t", "A: 1\noops\nCc: b\n\nx\n", false, "A: 1\r\n\r\n", "oops\r\nCc: b\r\n\r\nx\r\n"},
		{"text", "A: 1\ntext\nDate: today\n\nx\n", true, "A: 1\r\n\r\n", "text\r\nDate: today\r\n\r\nx\r\n"},
		{"text behind the last recipient", "To: a\noops\nBcc: b\ntext\n\nx\n", true, "To: a\r\noops\r\nBcc: b\r\n\r\n", "text\r\n\r\nx\r\n"},
		{"no header", "text\nBcc: b\n\nx\n", true, "\r\n", "text\r\nBcc: b\r\n\r\nx\r\n"},
	} {
		_, header, body, err := readInput(strings.NewReader(c.in), c.fromHeader)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, err := io.ReadAll(body)
		if string(header) != c.header || string(b) != c.body || err != nil {
			t.Errorf("%s: header %q, body %q, %v", c.name, header, b, err)
		}
	}
}

func TestUntilDot(t *testing.T) {
	long := strings.Repeat("x", 10000)
	for in, want := range map[string]string{
		"a\n.\nb\n":                        "a\n",
		"a\r\n.\r\nb":                      "a\r\n",
		".\n":                              "",
		"a\n.":                             "a\n",
		"a\n..\n.b\n":                      "a\n..\n.b\n",
		"a.\n":                             "a.\n",
		long + "\n.\n":                     long + "\n",
		long + ".\n" + "b\n":               long + ".\n" + "b\n",
		strings.Repeat("y", 4096) + ".\nz": strings.Repeat("y", 4096) + ".\nz",
	} {
		got, err := io.ReadAll(untilDot(strings.NewReader(in)))
		if err != nil || string(got) != want {
			t.Errorf("%.20q: %.40q, %v; want %.40q", in, got, err, want)
		}
	}
}

func TestAuthor(t *testing.T) {
	login, gecos := account(os.Getenv)
	if login == "" {
		t.Fatal("the account has no name")
	}
	f := "web@example.com"
	for _, c := range []struct {
		name  string
		env   map[string]string
		flags sendmailFlags
		want  author
	}{
		{"account", nil, sendmailFlags{}, author{gecos, login}},
		{"EMAIL", map[string]string{"EMAIL": "a@b"}, sendmailFlags{}, author{gecos, "a@b"}},
		{"EMAIL with a name", map[string]string{"EMAIL": "Ann <a@b>"}, sendmailFlags{}, author{"Ann", "a@b"}},
		{"EMAIL that is none", map[string]string{"EMAIL": "a b c"}, sendmailFlags{}, author{gecos, login}},
		{"NAME", map[string]string{"NAME": "Ann"}, sendmailFlags{}, author{"Ann", login}},
		{"-F", map[string]string{"NAME": "Ann"}, sendmailFlags{fullName: "Bob"}, author{"Bob", login}},
		{"-f", map[string]string{"EMAIL": "a@b"}, sendmailFlags{sender: &f}, author{"", "web@example.com"}},
	} {
		if got := newAuthor(&c.flags, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, size := range []int{0, 10, spoolMemory, spoolMemory + 1, 3*spoolMemory + 7} {
		s := &spool{}
		want := bytes.Repeat([]byte("0123456789\n"), size/11+1)[:size]
		if _, err := io.Copy(s, iotest.HalfReader(bytes.NewReader(want))); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := io.ReadAll(s.reader())
			if err != nil || !bytes.Equal(got, want) || s.size != int64(size) || s.eightBit {
				t.Errorf("%d bytes: %d come back, size %d, %v", size, len(got), s.size, err)
			}
		}
		s.close()
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	s := &spool{}
	_, _ = s.Write([]byte("ä"))
	if !s.eightBit {
		t.Error("8-bit text is not noticed")
	}
}

// fakeGateway answers one session on a socket with the replies given, one for each command, and gives
// the commands it heard. A reply "cut" ends the session.
func fakeGateway(t *testing.T, replies ...string) (runDir string, heard func() []string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no submission socket")
	}
	runDir, err := os.MkdirTemp("", "mh") // a short name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runDir) })
	l, err := net.Listen("unix", filepath.Join(runDir, "submit.sock"))
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan []string, 1)
	go func() {
		var got []string
		defer func() { lines <- got }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		inData := false
		for _, reply := range replies {
			if reply == "cut" {
				return
			}
			if _, err := fmt.Fprintf(conn, "%s\r\n", reply); err != nil {
				return
			}
			inData = strings.HasPrefix(reply, "354")
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				got = append(got, strings.TrimRight(line, "\r\n"))
				if !inData || line == ".\r\n" {
					break
				}
			}
		}
	}()
	t.Cleanup(func() { l.Close() })
	return runDir, func() []string { l.Close(); return <-lines }
}

// runSendmailIn runs sendmail with a config of its own and gives what it says.
func runSendmailIn(t *testing.T, runDir, stdin string, args ...string) (code int, stderr string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "c.toml")
	text := fmt.Sprintf("run_dir = %q\nstate_dir = %q\n", runDir, filepath.Join(runDir, "state"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EMAIL", "")
	t.Setenv("NAME", "")
	var out, errs strings.Builder
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	code = a.main(context.Background(), append([]string{"-c", config, "sendmail"}, args...))
	return code, errs.String()
}

func TestSubmitDialog(t *testing.T) {
	runDir, heard := fakeGateway(t, "220 hi", "250 ok", "250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 OK: queued as X", "221 bye")
	code, words := runSendmailIn(t, runDir, "From: x@y\nDate: d\nMessage-ID: <m>\nSubject: ü\n\n.dot\n", "-v", "-i", "-f", "müller@example.com",
		"-N", "never", "-R", "hdrs", "-V", "a+b c", "a@b", "c@d")
	if code != 0 || !strings.Contains(words, "queued as X") {
		t.Fatalf("exit %d: %s", code, words)
	}
	want := []string{"EHLO localhost",
		"MAIL FROM:<müller@example.com> SIZE=58 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+20c SMTPUTF8",
		"RCPT TO:<a@b> NOTIFY=NEVER", "RCPT TO:<c@d> NOTIFY=NEVER", "DATA",
		"From: x@y", "Date: d", "Message-ID: <m>", "Subject: ü", "", "..dot", ".", "QUIT"}
	if got := heard(); !reflect.DeepEqual(got, want) {
		t.Errorf("heard %q\nwant  %q", got, want)
	}
}

func TestSubmitOutcomes(t *testing.T) {
	for _, c := range []struct {
		name    string
		replies string
		code    int
		words   string
	}{
		{"no such user", "220 hi|250 ok|250 ok|550 5.1.1 who|550 5.1.1 who", exNoUser, "5.1.1 who"},
		{"policy", "220 hi|250 ok|250 ok|550 5.7.1 no|550 5.7.1 no", exUnavailable, "5.7.1 no"},
		{"too large", "220 hi|250 ok|552 5.3.4 large", exDataErr, "large"},
		{"content", "220 hi|250 ok|250 ok|250 ok|250 ok|354 go|554 5.6.1 bad", exDataErr, "bad"},
		{"several lines", "220 hi|250 ok|250 ok|250 ok|250 ok|354 go|554-5.7.1 one\r\n554 5.7.1 two", exUnavailable, "two"},
		// Without a maildrop these are kept nowhere.
		{"busy", "421 4.3.2 busy", exTempFail, "busy"},
		{"full", "220 hi|250 ok|452 4.3.1 full", exTempFail, "full"},
		{"one recipient later", "220 hi|250 ok|250 ok|250 ok|451 4.3.0 later", exTempFail, "later"},
		{"no data now", "220 hi|250 ok|250 ok|250 ok|250 ok|451 4.3.0 later", exTempFail, "later"},
		{"cut at once", "cut", exTempFail, "NOT kept"},
		{"cut before EHLO", "220 hi|cut", exTempFail, "NOT kept"},
		{"cut in the message", "220 hi|250 ok|250 ok|250 ok|250 ok|354 go|cut", exTempFail, "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			runDir, heard := fakeGateway(t, strings.Split(c.replies, "|")...)
			code, words := runSendmailIn(t, runDir, "Subject: x\n\n", "a@b", "c@d")
			if code != c.code || !strings.Contains(words, c.words) {
				t.Errorf("exit %d, want %d: %s", code, c.code, words)
			}
			heard()
		})
	}
	t.Run("some are refused", func(t *testing.T) {
		runDir, heard := fakeGateway(t, strings.Split("220 hi|250 ok|250 ok|550 5.7.1 no|250 ok|550 5.1.1 who|354 go|250 ok|221 bye", "|")...)
		code, words := runSendmailIn(t, runDir, "Subject: x\n\n", "a@b", "c@d", "e@f")
		if code != exUnavailable || !strings.Contains(words, "<a@b>: 550") || !strings.Contains(words, "<e@f>: 550") {
			t.Errorf("exit %d: %s", code, words)
		}
		heard()
	})
}

func TestSendmailFailures(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name  string
		args  string
		stdin io.Reader
		code  int
	}{
		{"a sender that is none", "-f a|b|c x@y", nil, exDataErr},
		{"two senders", "-f a@b,c@d x@y", nil, exDataErr},
		{"a sender with a line end in it", "-f \"a\rb\"@c x@y", nil, exDataErr},
		{"a recipient that is none", "a|b|c", nil, exDataErr},
		{"a header that is none", "-t", strings.NewReader("To: a b c\n\n"), exDataErr},
		{"input that breaks", "x@y", iotest.ErrReader(io.ErrClosedPipe), exIOErr},
		{"input that breaks in the body", "x@y", io.MultiReader(strings.NewReader("A: b\n\nc\n"), iotest.ErrReader(io.ErrClosedPipe)), exIOErr},
		{"no room for a large message", "-i x@y", strings.NewReader(strings.Repeat("x", 2*spoolMemory)), exCantCreate},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TMPDIR", filepath.Join(dir, "missing"))
			t.Setenv("TMP", filepath.Join(dir, "missing")) // Windows
			t.Setenv("MAILHATCH_CONFIG", "")
			var errs strings.Builder
			a := &app{stdin: c.stdin, stdout: io.Discard, stderr: &errs}
			args := strings.Fields(c.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "|", " ")
			}
			if code := a.main(context.Background(), append([]string{"sendmail"}, args...)); code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, errs.String())
			}
		})
	}
}

func TestByName(t *testing.T) {
	for argv, want := range map[string]string{
		"/usr/sbin/sendmail -t":      "sendmail -t",
		"mailq":                      "sendmail -bp",
		"/usr/bin/newaliases -v":     "sendmail -bi -v",
		"mailhatch serve":            "serve",
		"/usr/local/bin/other queue": "queue",
	} {
		if got := strings.Join(byName(strings.Fields(argv)), " "); got != want {
			t.Errorf("%s: %q, want %q", argv, got, want)
		}
	}
	if got := byName(nil); len(got) != 0 {
		t.Errorf("without a name: %q", got)
	}
}

func TestMessageIDsDiffer(t *testing.T) {
	who := author{"Ann", "ann"}
	raw := []byte("Bcc: x@y\r\nSubject: s\r\nbcc : z@y\r\n\r\n")
	one := complete(mime.ParseHeader(raw), raw, who, time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	two := complete(mime.ParseHeader(raw), raw, who, time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	if bytes.Equal(one, two) {
		t.Error("two messages have one Message-ID")
	}
	h := mime.ParseHeader(one)
	if h.Get("From") != "Ann <ann>" || h.Get("Date") != "Mon, 23 Nov 2026 10:00:00 +0000" || h.Has("Bcc") || !bytes.HasSuffix(one, []byte("\r\n\r\n")) {
		t.Errorf("header %q", one)
	}
	if env := (&envelope.Envelope{From: "a@b"}); needsUTF8(env) {
		t.Error("ASCII needs SMTPUTF8")
	}
}
