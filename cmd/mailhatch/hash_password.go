package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
)

// runHashPassword reads a password from standard input and prints its hash for [[listener.user]]. A password
// is never an argument, which every user could see in the process list.
func runHashPassword(ctx context.Context, a *app, args []string) error {
	fs := a.flags("hash-password")
	cost := fs.Int("cost", bcrypt.DefaultCost, "`work` for each guess; each step doubles it")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return command.Usagef("hash-password reads the password from standard input, it takes no arguments")
	}
	if *cost < bcrypt.DefaultCost || *cost > 16 {
		return command.Usagef("hash-password: --cost must be from %d to 16", bcrypt.DefaultCost)
	}
	password, err := a.askPassword(ctx)
	if err != nil {
		return err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), *cost)
	if err != nil {
		return err // longer than bcrypt takes
	}
	fmt.Fprintln(a.stdout, string(hash))
	return nil
}

var errNotTheSame = errors.New("the two passwords are not the same")

// askPassword returns the first line of standard input. On a terminal, which does not show it, it is asked for twice.
func (a *app) askPassword(ctx context.Context) (password string, err error) {
	lines := terminal.NewLines(io.LimitReader(a.stdin, 4096))
	if !terminal.Interactive(a.stdin) {
		return nextPassword(ctx, lines)
	}
	err = terminal.WithoutEcho(a.stdin.(*os.File), func() error {
		defer fmt.Fprintln(a.stderr) // the line end was not shown either
		fmt.Fprint(a.stderr, "password (not shown): ")
		if password, err = nextPassword(ctx, lines); err != nil {
			return err
		}
		fmt.Fprint(a.stderr, "\nonce more: ")
		again, err := nextPassword(ctx, lines)
		if err == nil && again != password {
			return errNotTheSame
		}
		return err
	})
	return password, err
}

// nextPassword reads a line.
func nextPassword(ctx context.Context, lines *terminal.Lines) (string, error) {
	line, err := lines.Next(ctx)
	switch {
	case ctx.Err() != nil:
		return "", command.ErrInterrupted
	case err != nil && err != io.EOF:
		return "", err
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", command.Hintf(errors.New("no password on standard input"), "mailhatch hash-password < FILE")
	}
	return password, nil
}
