//go:build !unix

package systemd

import (
	"errors"
	"os"
	"time"
)

func copyOf(int, string) (*os.File, error) { return nil, errors.ErrUnsupported }

func monotonic() (time.Duration, error) { return 0, errors.ErrUnsupported }
