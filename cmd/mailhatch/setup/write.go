package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

func (e *Env) nextSteps(s *setup, path, missing string) {
	config := ""
	if path != defaultOutput {
		config = " -c " + path
	}
	fmt.Fprintf(e.Stdout, "%s is written. Next:\n\n", path)
	if missing != "" {
		name := "the secret"
		for _, q := range s.kind.Setup {
			if env, ok := strings.CutPrefix(s.answers[q.Key], "env:"); ok && q.Secret {
				name = "$" + env
			} else if file, ok := strings.CutPrefix(s.answers[q.Key], "file:"); ok && q.Secret {
				name = file
			}
		}
		fmt.Fprintf(e.Stdout, "  provide %s: %s\n", name, missing)
	}
	fmt.Fprintf(e.Stdout, "  mailhatch%[1]s check --online\n  mailhatch%[1]s serve\n  mailhatch%[1]s send --to you@example.org\n", config)
}
