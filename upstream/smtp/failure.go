package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"syscall"

	"mailhatch/upstream"
	"mailhatch/upstream/smtp/reply"
)

// dialError reports why the relay cannot be spoken to: always Temporary, whatever it is.
func (u *relay) dialError(err error) *upstream.Error {
	var refused *textproto.Error
	if errors.As(err, &refused) {
		e := reply.Of(refused, u.secrets).Failure(reply.AtConnect)
		e.Err = fmt.Errorf("%s: %w", u.address(), e.Err)
		return e
	}
	return &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("cannot speak to %s: %w", u.address(), u.secrets.Error(err))}
}

// address is host and port for messages.
func (u *relay) address() string { return net.JoinHostPort(u.host, fmt.Sprint(u.port)) }

// isNetwork reports whether err is a failure of the connection.
func isNetwork(err error) bool {
	var network net.Error
	var errno syscall.Errno
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &network) ||
		errors.As(err, &errno) || errors.As(err, &alert) || errors.As(err, &record)
}
