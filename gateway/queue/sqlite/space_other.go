//go:build !linux && !darwin && !freebsd && !windows

package sqlite

import "math"

// freeBytes knows no limit here; a full disk then shows itself when it is written to.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

// isFull says whether err means that there is no space left.
func isFull(error) bool { return false }
