package sendmail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/test/freeport"
)

// fakeGateway answers one session on a socket with the replies given, one for each command, and returns
// the commands that it received. A reply "cut" ends the session.
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

// runIn runs sendmail with a config of its own and returns what it prints.
func runIn(t *testing.T, runDir, stdin string, args ...string) (code int, stderr string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "c.toml")
	text := fmt.Sprintf("run_dir = %q\nstate_dir = %q\n", runDir, filepath.Join(runDir, "state"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EMAIL", "")
	t.Setenv("NAME", "")
	var out, errs strings.Builder
	code, err := Run(t.Context(), args, &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Config: config, Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return code, errs.String()
}

func TestDialog(t *testing.T) {
	runDir, heard := fakeGateway(t, "220 hi", "250 ok", "250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 OK: queued as X", "221 bye")
	code, words := runIn(t, runDir, "From: x@y\nDate: d\nMessage-ID: <m>\nSubject: ü\n\n.dot\n", "-v", "-i", "-f", "müller@example.com",
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

func TestOutcomes(t *testing.T) {
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
			code, words := runIn(t, runDir, "Subject: x\n\n", "a@b", "c@d")
			if code != c.code || !strings.Contains(words, c.words) {
				t.Errorf("exit %d, want %d: %s", code, c.code, words)
			}
			heard()
		})
	}
	t.Run("some are refused", func(t *testing.T) {
		runDir, heard := fakeGateway(t, strings.Split("220 hi|250 ok|250 ok|550 5.7.1 no|250 ok|550 5.1.1 who|354 go|250 ok|221 bye", "|")...)
		code, words := runIn(t, runDir, "Subject: x\n\n", "a@b", "c@d", "e@f")
		if code != exUnavailable || !strings.Contains(words, "<a@b>: 550") || !strings.Contains(words, "<e@f>: 550") {
			t.Errorf("exit %d: %s", code, words)
		}
		heard()
	})
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml") // not that of this account, whose maildrop may take mail
	text := fmt.Sprintf("state_dir = %q\n[[listener]]\naddress = %q\n", filepath.ToSlash(filepath.Join(dir, "state")), freeport.Addr(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
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
		{"no room for a large message", "-i x@y", strings.NewReader(strings.Repeat("x", 2*submit.SpoolMemory)), exTempFail},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TMPDIR", filepath.Join(dir, "missing"))
			t.Setenv("TMP", filepath.Join(dir, "missing")) // Windows
			t.Setenv("MAILHATCH_CONFIG", config)
			var errs strings.Builder
			args := strings.Fields(c.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "|", " ")
			}
			if code, err := Run(t.Context(), args, &Env{Stdin: c.stdin, Stdout: io.Discard, Stderr: &errs, Patience: time.Millisecond}); code != c.code || err != nil {
				t.Errorf("exit %d, %v, want %d: %s", code, err, c.code, errs.String())
			}
		})
	}
}

// TestStreamed: a large message without a temporary folder is offered once, as it comes.
func TestStreamed(t *testing.T) {
	large := "From: x@y\nDate: d\nMessage-ID: <m>\n\n" + strings.Repeat("x\n", submit.SpoolMemory)
	for _, c := range []struct {
		name, replies string
		drop          bool
		code          int
		words         string
		dropped       int
	}{
		{"the gateway takes it", "220 hi|250 ok|250 ok|250 ok|250 ok|354 go|250 OK|221 bye", false, 0, "", 0},
		{"refused", "220 hi|250 ok|250 ok|250 ok|250 ok|354 go|554 5.6.1 bad", false, exDataErr, "bad", 0},
		{"not now", "220 hi|250 ok|452 4.3.1 full", true, 0, "", 1},
		{"not for so many at once", "220 hi|250 ok|250 ok|250 ok|452 4.5.3 enough", true, 0, "", 1},
		{"cut within", "220 hi|250 ok|250 ok|250 ok|250 ok|354 go|cut", true, exTempFail, "without a temporary file", 0},
		{"nobody keeps it", "220 hi|250 ok|452 4.3.1 full", false, exTempFail, "NOT kept", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			runDir, heard := fakeGateway(t, strings.Split(c.replies, "|")...)
			drop := filepath.Join(runDir, "state", "maildrop")
			if c.drop {
				if err := errors.Join(os.MkdirAll(drop, 0o700), os.Chmod(drop, 0o733|os.ModeSticky)); err != nil {
					t.Fatal(err)
				}
			}
			missing := filepath.Join(t.TempDir(), "missing") // made before there is no place for it
			t.Setenv("TMPDIR", missing)
			code, words := runIn(t, runDir, large, "-i", "-f", "f@g", "a@b", "c@d")
			if code != c.code || !strings.Contains(words, c.words) {
				t.Errorf("exit %d, want %d: %s", code, c.code, words)
			}
			if got := heard(); code == 0 && !c.drop && len(got) != 11+strings.Count(large, "x\n") || got[1] != "MAIL FROM:<f@g> BODY=8BITMIME" {
				t.Errorf("heard %d lines: %q", len(got), got[:min(len(got), 5)])
			}
			if files, _ := filepath.Glob(filepath.Join(drop, "mail-*")); len(files) != c.dropped {
				t.Errorf("dropped %q", files)
			}
		})
	}
}

// More recipients than the gateway takes for one message get it in another; when that fails, only they wait.
func TestManyRecipients(t *testing.T) {
	first := "220 hi|250 ok|250 ok|550 5.1.1 who|250 ok|452 4.5.3 enough|354 go|250 OK 1|"
	message := []string{"From: x@y", "Date: d", "Message-ID: <m>", "", "."}
	begin := slices.Concat([]string{"EHLO localhost", "MAIL FROM:<f@g> SIZE=39", "RCPT TO:<no@b>", "RCPT TO:<a@b>", "RCPT TO:<c@d>", "DATA"}, message,
		[]string{"MAIL FROM:<f@g> SIZE=39"})
	for _, c := range []struct {
		name, replies string
		heard         []string
		code          int
		words         string
		dropped       string
	}{
		{"all", first + "250 ok|250 ok|250 ok|354 go|250 OK 2|221 bye",
			slices.Concat([]string{"RCPT TO:<c@d>", "RCPT TO:<e@f>", "DATA"}, message, []string{"QUIT"}), exNoUser, "<no@b>: 550 5.1.1", ""},
		{"the rest later", first + "452 4.3.1 full", nil, exNoUser, "<no@b>: 550 5.1.1", `"to":[{"address":"c@d"},{"address":"e@f"}]`},
		{"the rest never", first + "250 ok|250 ok|250 ok|354 go|554 5.6.1 bad",
			slices.Concat([]string{"RCPT TO:<c@d>", "RCPT TO:<e@f>", "DATA"}, message), exDataErr, "first 2 of 4", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			runDir, heard := fakeGateway(t, strings.Split(c.replies, "|")...)
			drop := filepath.Join(runDir, "state", "maildrop")
			if err := os.MkdirAll(drop, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(drop, 0o733|os.ModeSticky); err != nil {
				t.Fatal(err)
			}
			code, words := runIn(t, runDir, "From: x@y\nDate: d\nMessage-ID: <m>\n\n", "-i", "-f", "f@g", "no@b", "a@b", "c@d", "e@f")
			if code != c.code || !strings.Contains(words, c.words) {
				t.Errorf("exit %d, want %d: %s", code, c.code, words)
			}
			if got := heard(); !slices.Equal(got, slices.Concat(begin, c.heard)) {
				t.Errorf("heard %q", got)
			}
			files, _ := filepath.Glob(filepath.Join(drop, "mail-*"))
			if len(files) != min(1, len(c.dropped)) {
				t.Fatalf("dropped %q", files)
			}
			for _, f := range files {
				if text, _ := os.ReadFile(f); !strings.Contains(string(text), c.dropped) {
					t.Errorf("dropped %s", text)
				}
			}
		})
	}
}
