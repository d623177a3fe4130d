//go:build !unix

package terminal

import "os"

// No signal tells of a new size here: the next frame has it.
func notifyResize(chan<- os.Signal) {}

func stopResize(chan<- os.Signal) {}
