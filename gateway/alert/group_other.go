//go:build !unix

package alert

import "os/exec"

// inGroup does nothing here: the program alone is ended.
func inGroup(*exec.Cmd) {}

// endGroup does nothing here.
func endGroup(*exec.Cmd) {}
