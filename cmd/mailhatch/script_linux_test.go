package main

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobody runs a program of ours in another account.
func nobody(ts *testscript.TestScript, neg bool, args []string) { runAs(ts, neg, args, nobodyUID) }

// become makes a program run in another account.
func become(cmd *exec.Cmd, who caller) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(who), Gid: uint32(who)}}
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
