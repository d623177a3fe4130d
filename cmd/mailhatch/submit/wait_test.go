package submit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailhatch/gateway/maildrop"
)

func dialError(network string, errno syscall.Errno) error {
	return fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Net: network, Err: errno})
}

func TestMayPass(t *testing.T) {
	readOnly := &fs.PathError{Op: "open", Path: "/drop", Err: syscall.EROFS}
	refused, missing := dialError("unix", syscall.ECONNREFUSED), dialError("unix", syscall.ENOENT)
	for _, c := range []struct {
		name          string
		gateway, drop error
		want          bool
	}{
		{"read-only maildrop", refused, readOnly, true},
		{"no socket, but a maildrop", missing, readOnly, true},
		{"a maildrop of another account", missing, fs.ErrPermission, true},
		{"cut off before the message", errors.New("the gateway does not answer: EOF"), maildrop.ErrUnsafe, true},
		{"it stops", &ReplyError{421, "4.3.2 stopping"}, readOnly, true},
		{"it is full", &ReplyError{452, "4.3.1 full"}, readOnly, false},
		{"neither", missing, fs.ErrNotExist, false},
		{"a socket, but no maildrop", refused, fs.ErrNotExist, true},
		{"a port, but no maildrop", dialError("tcp", syscall.ECONNREFUSED), fs.ErrNotExist, false},
		{"no maildrops on this system", missing, maildrop.ErrUnsupported, false},
		{"a full disk", refused, fmt.Errorf("maildrop: %w", maildrop.ErrFull), false},
	} {
		err := errors.Join(&NotKept{Gateway: missing, Drop: fs.ErrNotExist, Dir: "/other"}, &NotKept{Gateway: c.gateway, Drop: c.drop, Dir: "/drop"})
		if got := mayPass(err); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if mayPass(nil) || mayPass(errors.New("other")) {
		t.Error("success and other failures are tried again")
	}
}

func TestPersist(t *testing.T) {
	notKept := &NotKept{Gateway: dialError("unix", syscall.ECONNREFUSED), Drop: fs.ErrPermission}
	n := 0
	try := func() error {
		if n++; n < 3 {
			return notKept
		}
		return nil
	}
	if err := Persist(t.Context(), time.Hour, try); err != nil || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
	if err := Persist(t.Context(), 0, func() error { return notKept }); err != notKept {
		t.Errorf("the end of patience: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Persist(ctx, time.Hour, func() error { return notKept }); err != notKept {
		t.Errorf("the end of the program: %v", err)
	}
}

func TestNotKeptNamesTheCause(t *testing.T) {
	e := &NotKept{Gateway: errors.New("no gateway"), Drop: &fs.PathError{Op: "open", Path: "/d/part", Err: syscall.EROFS}, Dir: "/d"}
	if !strings.Contains(e.Error(), "ReadWritePaths=/d") {
		t.Error(e)
	}
	e.Drop = fs.ErrNotExist
	if got := e.Error(); got != "no gateway; there is no maildrop /d" {
		t.Error(got)
	}
	if e.Drop = fs.ErrPermission; !errors.Is(e, fs.ErrPermission) || !strings.Contains(e.Error(), "permission") {
		t.Error(e)
	}
	if e.Drop = nil; e.Error() != "no gateway" {
		t.Error(e)
	}
}
