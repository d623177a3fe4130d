package terminal

import (
	"os"

	"golang.org/x/sys/windows"
)

func isTerminal(file *os.File) bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(file.Fd()), &mode) == nil
}

// WithoutEcho calls read while the terminal f does not show what is typed.
func WithoutEcho(f *os.File, read func() error) error {
	console := windows.Handle(f.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(console, &mode); err != nil {
		return err
	}
	if err := windows.SetConsoleMode(console, mode&^windows.ENABLE_ECHO_INPUT); err != nil {
		return err
	}
	defer windows.SetConsoleMode(console, mode) //nolint:errcheck // the console has gone
	return read()
}

// obey makes a console follow the controls of Full; undo leaves it as it was.
func obey(file *os.File) (undo func(), err error) {
	console := windows.Handle(file.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(console, &mode); err != nil {
		return nil, err
	}
	undo = func() { _ = windows.SetConsoleMode(console, mode) } // the console has gone
	return undo, windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
}
