//go:build !unix

package gateway

import "time"

// notifier has no service manager to talk to here.
type notifier struct{}

func newNotifier() notifier { return notifier{} }

func (notifier) ready() error            { return nil }
func (notifier) stopping() error         { return nil }
func (notifier) reloading() error        { return nil }
func (notifier) alive() error            { return nil }
func (notifier) watchdog() time.Duration { return 0 }
