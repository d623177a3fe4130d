//go:build !unix

package config

import "io/fs"

// worldReadable cannot be told from the mode here.
func worldReadable(fs.FileMode) bool { return false }
