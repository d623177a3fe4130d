//go:build !unix

package main

import "os"

// reloadSignals returns none: `mailhatch reload` is the way there.
func reloadSignals() []os.Signal { return nil }
