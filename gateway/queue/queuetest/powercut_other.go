//go:build !linux

package queuetest

import "testing"

// PowerCut needs a file system that can be stopped; it skips the test here.
func PowerCut(t *testing.T, _ Engine) {
	t.Helper()
	t.Skip("the power-cut test needs Linux")
}
