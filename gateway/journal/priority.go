package journal

import (
	"context"
	"io"
	"log/slog"
	"slices"
)

// Priorities of sd-daemon(3), as systemd-journald(8) takes them from the start of a line.
const (
	PriorityError   = "<3>"
	priorityWarning = "<4>"
	priorityInfo    = "<6>"
	priorityDebug   = "<7>"
)

// NewPriorities returns a handler that begins each line with its priority. make makes the handlers that write lines, each
// in one Write.
func NewPriorities(w io.Writer, make func(io.Writer) slog.Handler) slog.Handler {
	list := []string{priorityDebug, priorityInfo, priorityWarning, PriorityError}
	p := priorities{}
	for i, prefix := range list {
		p[i] = make(&prefixed{w, prefix})
	}
	return p
}

// priorities are handlers for debug, info, warnings and errors.
type priorities [4]slog.Handler

// of returns the handler for a level.
func (p priorities) of(level slog.Level) slog.Handler {
	switch {
	case level < slog.LevelInfo:
		return p[0]
	case level < slog.LevelWarn:
		return p[1]
	case level < slog.LevelError:
		return p[2]
	}
	return p[3]
}

// Enabled implements slog.Handler.
func (p priorities) Enabled(ctx context.Context, level slog.Level) bool {
	return p.of(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (p priorities) Handle(ctx context.Context, r slog.Record) error {
	return p.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (p priorities) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range p {
		p[i] = p[i].WithAttrs(slices.Clone(attrs))
	}
	return p
}

// WithGroup implements slog.Handler.
func (p priorities) WithGroup(name string) slog.Handler {
	for i := range p {
		p[i] = p[i].WithGroup(name)
	}
	return p
}

// prefixed writes lines with a prefix.
type prefixed struct {
	w      io.Writer
	prefix string
}

// Write implements io.Writer for one line.
func (p *prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
