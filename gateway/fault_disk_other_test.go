//go:build !linux

package gateway

import "testing"

// smallDisk needs Linux.
func smallDisk(t *testing.T, _ string) string {
	t.Helper()
	t.Skip("skipped: a small tmpfs is mounted on Linux only")
	return ""
}
