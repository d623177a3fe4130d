//go:build !linux

package host

import (
	"errors"
	"fmt"
	"runtime"
)

// TreeUsage is known on Linux only; elsewhere CPU time is read when the process has ended.
func TreeUsage(int) (Footprint, error) {
	return Footprint{}, fmt.Errorf("process times while running on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
