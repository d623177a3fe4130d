package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"mailhatch/cmd/mailhatch/command"
)

// runHashPassword reads a password from standard input and prints its hash for [[listener.user]]. A password
// is never an argument, which every user could see in the process list.
func runHashPassword(_ context.Context, a *app, args []string) error {
	fs := a.flags("hash-password")
	cost := fs.Int("cost", bcrypt.DefaultCost, "`work` of a guess; each step doubles it")
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
	if f, ok := a.stdin.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprint(a.stderr, "password (it shows while you type): ")
		}
	}
	password, err := readPassword(a.stdin)
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

// readPassword returns the first line of r.
func readPassword(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", command.Hintf(errors.New("no password on standard input"), "mailhatch hash-password < FILE")
	}
	return password, nil
}
