package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobody runs a program of ours in another account: "nobody CODE PROGRAM ARGUMENTS < FILE". It must end
// with that exit code; what it says goes to the file out.
func nobody(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: nobody CODE PROGRAM [ARGUMENTS] [< FILE]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	args = args[1:]
	var in string
	if n := len(args); n > 2 && args[n-2] == "<" {
		in, args = ts.ReadFile(args[n-1]), args[:n-2]
	}
	// The account must reach the program: the directories of scripts are closed.
	dir := ts.Getenv("RUN")
	path := filepath.Join(dir, args[0])
	if _, err := os.Stat(path); err != nil {
		ts.Check(os.Chmod(dir, 0o711))
		program, err := os.ReadFile(os.Args[0])
		ts.Check(err)
		ts.Check(os.WriteFile(path, program, 0o755))
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir, cmd.Env = "/", append(environment(ts), "HOME=/nonexistent", "GOCOVERDIR=/tmp", "EMAIL="+ts.Getenv("EMAIL"))
	cmd.Stdin = strings.NewReader(in)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyUID, Gid: nobodyUID}}
	out, err := cmd.CombinedOutput()
	ts.Check(os.WriteFile(ts.MkAbs("out"), out, 0o600))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("nobody: %v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d; it says:\n%s", got, want, out)
	}
}

// smallDisk mounts a file system of 4 MB at DIRECTORY, or takes it away (! smallDisk DIRECTORY).
func smallDisk(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] smallDisk DIRECTORY")
	}
	if neg {
		ts.Check(syscall.Unmount(args[0], 0))
		return
	}
	ts.Check(os.MkdirAll(args[0], 0o700))
	if err := syscall.Mount("tmpfs", args[0], "tmpfs", 0, "size=4m"); err != nil {
		ts.Fatalf("mount: %v", err)
	}
	ts.Defer(func() { _ = syscall.Unmount(args[0], syscall.MNT_DETACH) })
}

// accountCommands need another account and file systems of their own.
func accountCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"nobody": nobody, "smallDisk": smallDisk}
}
