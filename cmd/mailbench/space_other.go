//go:build !linux

package main

import "errors"

// freeSpace is known on Linux only.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }

// settle does nothing.
func settle() {}
