//go:build !unix

package oauth

import "os"

func isRoot() bool { return false }

func owner(string, string) {}

func syncDir(string) error { return nil }

// lockFile has no lock here.
func lockFile(*os.File) bool { return true }
