// Package command is what the subcommands of mailhatch share: flags in any order, errors with a hint
// or an exit code, and the description of a command.
package command

import (
	"errors"
	"flag"
	"fmt"
	"strings"
)

// UsageError is a mistake in a command line.
type UsageError struct{ msg string }

// Error implements error.
func (e UsageError) Error() string { return e.msg }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error { return UsageError{fmt.Sprintf(format, args...)} }

// HintError is an error with advice.
type HintError struct {
	error
	Hint string // what to do about it
}

// Unwrap returns the error without the hint.
func (e HintError) Unwrap() error { return e.error }

// Hintf adds a hint to err.
func Hintf(err error, format string, args ...any) error {
	return HintError{err, fmt.Sprintf(format, args...)}
}

// ErrInterrupted ends a command whose questions nobody wants to answer.
var ErrInterrupted = errors.New("interrupted")

// ExitCode is a failure that has been reported already.
type ExitCode int

// Error implements error.
func (e ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Parse parses flags and arguments in any order and returns the arguments.
func Parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, FlagError(err)
		}
		if args = fs.Args(); len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// ParseAlone parses the flags of a command that takes no arguments.
func ParseAlone(fs *flag.FlagSet, args []string) error {
	rest, err := Parse(fs, args)
	if err == nil && len(rest) > 0 {
		err = Usagef("%s takes no arguments, got %q", strings.TrimPrefix(fs.Name(), "mailhatch "), rest[0])
	}
	return err
}

// List is a flag that may be repeated.
type List []string

// String implements flag.Value.
func (l *List) String() string { return strings.Join(*l, ", ") }

// Set implements flag.Value.
func (l *List) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// Once is a flag of text that is given once and is not empty: where flags choose what is done, what follows an empty one, such
// as a variable of a script that was not set, would be done to everything.
type Once struct {
	Value *string
	given bool
}

// String implements flag.Value.
func (o *Once) String() string {
	if o.Value == nil {
		return ""
	}
	return *o.Value
}

// Set implements flag.Value.
func (o *Once) Set(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty: leave it out, or say what it should be")
	case o.given:
		return errors.New("it is given twice, and only one can hold")
	}
	*o.Value, o.given = s, true
	return nil
}
