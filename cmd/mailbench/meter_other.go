//go:build !linux

package main

import (
	"errors"
	"fmt"
	"runtime"
)

// treeUsage is known on Linux only; elsewhere CPU time is read when the process has ended.
func treeUsage(int) (footprint, error) {
	return footprint{}, fmt.Errorf("process times while running on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
