package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobodyUID is the account that scripts run programs in beside their own.
const nobodyUID = 65534

// condition knows [root]: programs can be run in another account, and file systems mounted; and [exists:PATH].
func condition(cond string) (bool, error) {
	if cond == "root" {
		return runtime.GOOS == "linux" && os.Geteuid() == 0, nil
	}
	if path, ok := strings.CutPrefix(cond, "exists:"); ok {
		_, err := os.Stat(path)
		return err == nil, nil
	}
	return false, fmt.Errorf("there is no condition %q", cond)
}

// delivered returns the messages in the maildir $RUN/out.
func delivered(ts *testscript.TestScript) []string {
	files, err := filepath.Glob(filepath.Join(ts.Getenv("RUN"), "out", "new", "*"))
	ts.Check(err)
	var mails []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		ts.Check(err)
		mails = append(mails, string(b))
	}
	return mails
}

// patience is how long scripts wait for what must come.
const patience = time.Minute

// arrived waits until N copies (one is usual) of a message that has TEXT are in $RUN/out, a copy for each
// recipient, and writes them to FILE.
func arrived(ts *testscript.TestScript, neg bool, args []string) {
	want := 1
	if len(args) == 3 {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		want, args = n, args[1:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mail [N] TEXT FILE")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var copies []string
		for _, m := range delivered(ts) {
			if strings.Contains(m, args[0]) {
				copies = append(copies, m)
			}
		}
		if len(copies) >= want {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(copies, "")), 0o600))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d copies of a mail with %q have come, want %d; there are %d mails", len(copies), args[0], want, len(delivered(ts)))
		}
	}
}

// waitfor runs a program of ours, again and again, until what it writes matches REGEXP.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor REGEXP PROGRAM [ARGUMENTS]")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		cmd := program(ts, self, args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		out, err := cmd.CombinedOutput()
		if want.Match(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q never writes %s (%v), but:\n%s", args[1:], args[0], err, out)
		}
	}
}

// idOf puts the id of the message in the queue with that subject into an environment variable.
func idOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: id VARIABLE SUBJECT PROGRAM [ARGUMENTS]")
	}
	cmd := program(ts, self, args[2], append(args[3:], "queue", "list", "--json", "--subject", args[1])...)
	cmd.Dir = ts.MkAbs(".")
	out, err := cmd.Output()
	ts.Check(err)
	var m struct{ ID string }
	ts.Check(json.Unmarshal(out, &m))
	ts.Setenv(args[0], m.ID)
}

// each waits until every one of N messages that burst has sent is in $RUN/out, once.
func each(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: each N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		mails := delivered(ts)
		if len(mails) < n && time.Now().Before(deadline) {
			continue
		}
		all := strings.ReplaceAll(strings.Join(mails, "\n"), "\r\n", "\n")
		for i := range n {
			if c := strings.Count(all, fmt.Sprintf("Subject: burst %d\n", i)); c != 1 {
				ts.Fatalf("message %d is there %d times; %d messages in all", i, c, len(mails))
			}
		}
		if len(mails) != n {
			ts.Fatalf("%d messages, want %d", len(mails), n)
		}
		return
	}
}

// burst sends N messages by as many sendmails at once.
func burst(ts *testscript.TestScript, neg bool, args []string) { burstAs(ts, neg, args, self) }

// burstAs does so in an account.
func burstAs(ts *testscript.TestScript, neg bool, args []string, who caller) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: burst N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	commands := make([]*exec.Cmd, n)
	for i := range n {
		commands[i] = program(ts, who, "sendmail", "-i", "ann@example.org")
		commands[i].Stdin = strings.NewReader(fmt.Sprintf("Subject: burst %d\n\nbody\n", i))
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i, cmd := range commands {
		all.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("%w: %s", err, out)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		ts.Check(err)
	}
}

// caller is who runs a program: a number of another account, or self.
type caller int

const self caller = -1

// program is one of ours, by its name, in an account.
func program(ts *testscript.TestScript, who caller, name string, args ...string) *exec.Cmd {
	path, err := filepath.Abs(os.Args[0])
	ts.Check(err)
	env := environment(ts)
	if who != self {
		path = reachable(ts)
		env = append(env, "HOME=/nonexistent", "GOCOVERDIR=/tmp")
	}
	cmd := exec.Command(path, args...)
	cmd.Args[0], cmd.Dir, cmd.Env = name, "/", env
	if who != self {
		become(cmd, who)
	}
	return cmd
}

// reachable is a copy of the program where every account can start it: the directories of scripts are closed.
func reachable(ts *testscript.TestScript) string {
	dir := ts.Getenv("RUN")
	path := filepath.Join(dir, "program")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	ts.Check(os.Chmod(dir, 0o711))
	b, err := os.ReadFile(os.Args[0])
	ts.Check(err)
	// A program that another script starts meanwhile would inherit the open file: "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	ts.Check(os.WriteFile(path, b, 0o755))
	return path
}

// runAs runs a program: "CODE PROGRAM ARGUMENTS < FILE". It must end with that exit code; what it says goes
// to the file out. A directory as FILE cannot be read.
func runAs(ts *testscript.TestScript, neg bool, args []string, who caller) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: run CODE PROGRAM [ARGUMENTS] [< FILE]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	args = args[1:]
	in, err := os.Open(os.DevNull)
	ts.Check(err)
	if n := len(args); n > 2 && args[n-2] == "<" {
		ts.Check(in.Close())
		in, err = os.Open(ts.MkAbs(args[n-1]))
		ts.Check(err)
		args = args[:n-2]
	}
	defer in.Close()
	cmd := program(ts, who, args[0], args[1:]...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	ts.Check(os.WriteFile(ts.MkAbs("out"), out, 0o600))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%s: %v", args[0], err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d; it says:\n%s", got, want, out)
	}
}

func environment(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, name := range []string{"MAILHATCH_CONFIG", "HOME", "EMAIL", "NAME", "LOGNAME", "USER", "TMPDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}
