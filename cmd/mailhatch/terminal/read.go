package terminal

import (
	"bufio"
	"context"
	"io"
)

// Lines reads lines that a person types, for as long as they do not interrupt the program.
type Lines struct{ in *bufio.Reader }

type line struct {
	text string
	err  error
}

// NewLines returns the lines of in.
func NewLines(in io.Reader) *Lines {
	return &Lines{bufio.NewReader(in)}
}

// Next returns the next line with its end, or the cause of ctx when that ends first. No other line follows then: reading a
// terminal cannot be interrupted, and goes on until the program ends.
func (l *Lines) Next(ctx context.Context) (string, error) {
	done := make(chan line, 1)
	go func() {
		text, err := l.in.ReadString('\n')
		done <- line{text, err}
	}()
	select {
	case got := <-done:
		return got.text, got.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
