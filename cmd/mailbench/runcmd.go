package main

import (
	"context"
	"errors"
	"io"
)

func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return errors.New("todo")
}
func peersCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return errors.New("todo")
}
