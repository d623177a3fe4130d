//go:build !unix

package postgrestest

import "errors"

func find() (folder, missing string) {
	return "", "needs a PostgreSQL server on a unix socket, which is started on Unix alone"
}

func prepare(string) (string, error) { return "", errors.ErrUnsupported }

func (*Server) clone() (string, error) { return "", errors.ErrUnsupported }

func (*Server) limit(string, string) error { return errors.ErrUnsupported }

type process struct{}

func start(string, string, Settings) (*process, error) { return nil, errors.ErrUnsupported }

func (*process) stop(string) {}

func (*process) ended() bool { return true }

func (*process) mayStartLater() bool { return false }

func (*process) log() string { return "" }
