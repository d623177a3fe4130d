//go:build unix

package config

import "io/fs"

// worldReadable reports whether every user of the machine may read a file of this mode.
func worldReadable(mode fs.FileMode) bool { return mode.Perm()&0o004 != 0 }
