// Package command parses the flags of the commands of mailbench.
package command

import (
	"errors"
	"flag"
	"fmt"
)

// ErrUsage marks an error of the command line: exit status 2.
var ErrUsage = errors.New("usage")

// Parse parses args and refuses operands, which no command takes.
func Parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %v", ErrUsage, err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%w: unexpected %q", ErrUsage, fs.Arg(0))
	}
	return nil
}
