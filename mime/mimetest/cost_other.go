//go:build !unix

package mimetest

import "time"

// used returns the time: processor time is not counted the same way here.
func used() time.Duration { return time.Duration(time.Now().UnixNano()) }
