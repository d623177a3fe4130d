//go:build !linux

package host

import "errors"

// FreeSpace is known on Linux only.
func FreeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }

// Settle does nothing.
func Settle() {}
