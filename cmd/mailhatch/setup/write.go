package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// write writes the file, for this account's eyes only or as the one that it replaces, when it is a
// good config.
func (e *Env) write(s *setup, path string, force bool) error {
	target := path
	if force {
		target = path + ".new"
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.config())
	err = errors.Join(err, f.Sync(), f.Close())
	missing := ""
	if err == nil {
		missing, err = e.try(target, s.kind)
	}
	if err == nil && force {
		if err = keepOwner(path, target); err == nil {
			err = os.Rename(target, path)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(target))
	}
	e.nextSteps(s, path, missing)
	return nil
}

// try reads the new file as serve would. It may lack a secret that does not exist yet, which try returns.
func (e *Env) try(path string, kind upstream.Kind) (missing string, err error) {
	cfg, err := config.Load(path, e.Options)
	if err == nil {
		return "", cfg.Close()
	}
	var bad *config.Error
	if !errors.As(err, &bad) {
		return "", err
	}
	for _, p := range bad.Problems {
		if !slices.ContainsFunc(kind.Setup, func(q upstream.Question) bool { return q.Secret && strings.HasSuffix(p.Key, "."+q.Key) }) {
			return "", err
		}
		missing = p.Problem
	}
	return missing, nil
}

// nextSteps shows what to type now, as it fits the place of the file.
func (e *Env) nextSteps(s *setup, path, missing string) {
	flag := ""
	if !isFound(path) {
		flag = " -c " + quoted(path)
	}
	fmt.Fprintf(e.Stdout, "%s is written. Next:\n\n", path)
	if missing != "" {
		fmt.Fprintf(e.Stdout, "  provide %s: %s\n", s.secretName(), missing)
	}
	command := program(os.Args[0]) + flag
	serve := command + " serve"
	if config.IsPackaged(path) && e.Service {
		serve = "systemctl reload-or-restart mailhatch"
	}
	fmt.Fprintf(e.Stdout, "  %[1]s check --online\n  %[2]s\n  %[1]s send -s Hello --body 'It works.' you@example.org\n", command, serve)
}

// program returns what to type for this program, as it was called: it need not be in the PATH.
func program(called string) string {
	if filepath.Base(called) != "mailhatch" {
		return "mailhatch"
	}
	return quoted(called)
}

// isFound reports whether commands find the file without being told of it.
func isFound(path string) bool {
	found, err := os.Stat(config.Find(""))
	if err != nil {
		return false
	}
	written, err := os.Stat(path)
	return err == nil && os.SameFile(found, written)
}

// quoted returns a path as a shell takes it.
func quoted(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,+:@%") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// secretName says where the secret is to be put.
func (s *setup) secretName() string {
	for _, q := range s.kind.Setup {
		if env, ok := strings.CutPrefix(s.answers[q.Key], "env:"); ok && q.Secret {
			return "$" + env
		} else if file, ok := strings.CutPrefix(s.answers[q.Key], "file:"); ok && q.Secret {
			return file
		}
	}
	return "the secret"
}
