package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal says whether a person is at the other end of f, an *os.File or anything else.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(file.Fd()), &mode) == nil
}

// withoutEcho calls read while the terminal f does not show what is typed.
func withoutEcho(f *os.File, read func() error) error {
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
