//go:build !unix

package sendmail

import (
	"net"

	"mailhatch/gateway/maildrop"
)

func connPair() (a, b net.Conn, err error) { return nil, nil, maildrop.ErrUnsupported }
