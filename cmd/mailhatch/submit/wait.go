package submit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"mailhatch/gateway/maildrop"
)

// Patience is how long a message waits for a gateway that restarts, where nothing else keeps it.
const Patience = 30 * time.Second

const (
	firstWait = 50 * time.Millisecond
	mostWait  = time.Second
)

// NotKept is a message that neither a gateway nor its maildrop has. Trying again is harmless.
type NotKept struct {
	Gateway error  // why the gateway has not got it
	Drop    error  // why the maildrop has not; nil where there is none
	Dir     string // the maildrop
}

// Error returns both reasons, and what to do where a service may not write to the maildrop.
func (e *NotKept) Error() string {
	switch {
	case e.Drop == nil:
		return e.Gateway.Error()
	case errors.Is(e.Drop, syscall.EROFS):
		return fmt.Sprintf("%v; the maildrop %s is read-only for this program: the unit of a service under ProtectSystem= or DynamicUser= needs ReadWritePaths=%[2]s", e.Gateway, e.Dir)
	case errors.Is(e.Drop, fs.ErrNotExist):
		return fmt.Sprintf("%v; there is no maildrop %s", e.Gateway, e.Dir)
	}
	return fmt.Sprintf("%v; %v", e.Gateway, e.Drop)
}

// Unwrap returns both reasons.
func (e *NotKept) Unwrap() []error { return []error{e.Gateway, e.Drop} }

// mayPass reports whether there is a gateway that only does not answer just now: its maildrop or its socket is there.
func (e *NotKept) mayPass() bool {
	var reply *ReplyError
	var dial *net.OpError
	switch {
	case errors.As(e.Gateway, &reply) && reply.Code != 421, // it will be as full or as busy in a minute
		errors.Is(e.Drop, maildrop.ErrFull):
		return false
	case e.Drop != nil && !errors.Is(e.Drop, fs.ErrNotExist) && !errors.Is(e.Drop, maildrop.ErrUnsupported):
		return true
	}
	return errors.As(e.Gateway, &dial) && dial.Net == "unix" && !errors.Is(dial, fs.ErrNotExist)
}

// Persist calls try until it returns something else than a *NotKept that may pass, for limit at most.
func Persist(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		err := try()
		if !mayPass(err) || time.Until(deadline) < wait {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// mayPass reports whether one of the gateways that have not got a message may have it soon.
func mayPass(err error) bool {
	switch e := err.(type) {
	case *NotKept:
		return e.mayPass()
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if mayPass(one) {
				return true
			}
		}
	}
	return false
}
