//go:build !unix

package local

import "os"

const noFollow = 0

// lockFile has nothing to add to FILE.lock here.
func lockFile(*os.File) error { return nil }

// isGone is not known here.
func isGone(int) bool { return false }
