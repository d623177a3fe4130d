//go:build !unix

package config

import "io/fs"

// worldReadable is always false: modes do not show it here.
func worldReadable(fs.FileMode) bool { return false }
