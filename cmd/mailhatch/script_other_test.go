//go:build !linux

package main

import (
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"
)

// accountCommands are for scripts that [root] lets in, which it does on Linux only.
func accountCommands() map[string]func(*testscript.TestScript, bool, []string) { return nil }

// become makes a program run in another account.
func become(*exec.Cmd, caller) {}
