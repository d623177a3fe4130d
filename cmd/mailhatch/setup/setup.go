// Package setup writes a first config, from flags and from answers on a terminal.
package setup

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/config"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Env is where setup runs.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Kinds          []upstream.Kind // of upstreams
	Options        config.Options  // to check the config
	Service        bool            // systemd runs on this machine
}

// setup is what a first config needs to know. Empty answers are left out of it.
type setup struct {
	kind     upstream.Kind
	given    map[string]string // by flag, what was given for the upstream
	secret   string            // given for its key or password, whatever the kind calls it: where that is kept
	answers  map[string]string // by key of the upstream
	from     string            // "App <noreply@example.com>"
	root     string
	listen   string
	stateDir string
	runDir   string

	try func(config string) error // reads a config as check does
}

const defaultOutput = "mailhatch.toml"

// Run writes a first config. On a terminal it asks for what the flags, which it adds to fs, leave open, until ctx ends.
func Run(ctx context.Context, fs *flag.FlagSet, args []string, e *Env) error {
	s := setup{given: map[string]string{}, answers: map[string]string{}}
	offered := slices.DeleteFunc(slices.Clone(e.Kinds), func(k upstream.Kind) bool { return k.Setup == nil })
	kind := fs.String("upstream", "", "`type` of the provider or relay that sends the mail: "+kindNames(offered))
	fs.StringVar(&s.from, "from", "", "`address` of your mail; the From of other domains is rewritten to it")
	s.flags(fs, offered)
	fs.StringVar(&s.root, "root", "", "`address` that gets the mail for root")
	fs.StringVar(&s.listen, "listen", "127.0.0.1:1025", "`address` where programs submit their mail")
	fs.StringVar(&s.stateDir, "state-dir", "", "`directory` of the queue (default: that of the replaced file, else the account's own)")
	output := fs.String("output", defaultOutput, "`file` to write; - is standard output")
	force := fs.Bool("force", false, "replace an existing file; keep its directories, owner and mode")
	if err := command.ParseAlone(fs, args); err != nil {
		return err
	}
	if s.secret != "" && !upstream.IsReference(s.secret) {
		return command.Hintf(command.Usagef("init: a secret must not be on the command line, where other users can read it"),
			"use env:NAME or file:/path, or leave it out to be asked")
	}
	if _, err := os.Lstat(*output); err == nil && !*force {
		return existsError(*output)
	}
	var q *asker // nil: not on a terminal
	if terminal.Interactive(e.Stdin) {
		q = newAsker(ctx, e)
	}
	s.try = func(text string) error { return config.Try(*output, text, e.Options) }
	if err := s.complete(q, *kind, offered); err != nil {
		return err
	}
	stateDir, runDir := config.KeptDirs(*output)
	s.stateDir, s.runDir = cmp.Or(s.stateDir, stateDir), runDir
	if *output == "-" {
		_, err := fmt.Fprint(e.Stdout, s.config())
		return err
	}
	return e.write(&s, *output, *force)
}

func existsError(path string) error {
	return command.Hintf(fmt.Errorf("%s already exists", path), "--output names another file, --force replaces this one")
}

// flags defines a flag for each question about an upstream.
func (s *setup) flags(fs *flag.FlagSet, offered []upstream.Kind) {
	usage := map[string]string{}
	for _, k := range offered {
		for _, q := range k.Setup {
			if _, ok := usage[q.Flag]; !ok && q.Secret {
				fs.StringVar(&s.secret, q.Flag, "", "`where` the secret is kept: env:NAME, file:/path or cred:NAME; not the secret itself")
				fs.Func(q.Flag+"-file", "the same as --"+q.Flag+" file:`path`", func(path string) error { s.secret = "file:" + path; return nil })
			}
			if _, ok := usage[q.Flag]; !ok {
				usage[q.Flag] = q.Usage
			}
			if q.Words != nil {
				usage[q.Flag] += "; " + k.Name + ": " + strings.Join(q.Words, ", ")
			}
		}
	}
	for name, text := range usage {
		if fs.Lookup(name) == nil {
			fs.Func(name, text, func(v string) error { s.given[name] = v; return nil })
		}
	}
}

func kindNames(list []upstream.Kind) string {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}

// complete asks for what the flags leave open, fills in what has a default and refuses what the config could
// not hold.
func (s *setup) complete(q *asker, kind string, offered []upstream.Kind) error {
	if err := q.choice(&kind, "Which provider sends your mail?", strings.Split(kindNames(offered), ", ")); err != nil {
		return err
	}
	at := slices.IndexFunc(offered, func(k upstream.Kind) bool { return k.Name == kind })
	if at < 0 {
		return command.Hintf(command.Usagef("init: --upstream %q must be one of %s", kind, kindNames(offered)), "on a terminal mailhatch init asks for it")
	}
	s.kind = offered[at]
	empty := "empty: as programs write it"
	if host, err := os.Hostname(); err == nil && !strings.Contains(host, ".") {
		empty += "; providers refuse root@" + host
	}
	if err := q.line(&s.from, "From address of your mail, such as App <noreply@example.com> ("+empty+")", "", s.wrongFrom); err != nil {
		return err
	}
	if s.from != "" && s.fromDomain() == "" {
		return command.Hintf(command.Usagef("init: --from %q is not an address", s.from), `write noreply@example.com or "App <noreply@example.com>"`)
	}
	s.answers[upstream.FromDomain] = s.fromDomain()
	for _, question := range s.kind.Setup {
		if err := s.answer(q, question); err != nil {
			return err
		}
	}
	if err := q.line(&s.root, "Address that gets the mail for root (empty: root of the domain above)", "", s.wrongRoot); err != nil {
		return err
	}
	all := slices.Concat(slices.Collect(maps.Values(s.answers)), []string{s.from, s.root, s.listen, s.stateDir})
	if slices.ContainsFunc(all, hasControls) {
		return command.Usagef("init: an answer contains control characters")
	}
	return nil
}

// answer finds the answer to one question: from a flag, from the terminal, or the default.
func (s *setup) answer(q *asker, question upstream.Question) error {
	if s.given[question.Flag] == "" && (s.answers[question.Key] != "" || question.Skip != nil && question.Skip(s.answers)) {
		return nil // answered with an earlier one, or not to be asked
	}
	value, fallback := s.given[question.Flag], ""
	if question.Secret {
		value = s.secret
	}
	if question.Default != nil {
		fallback = question.Default(s.answers)
	}
	if err := q.ask(&value, question, fallback, func(v string) string { return s.wrong(question, v) }); err != nil {
		return err
	}
	if !question.Optional {
		if value = cmp.Or(value, fallback); value == "" {
			return command.Usagef("init: --%s is missing", question.Flag)
		}
	}
	if value != "" && question.Number && !isNumber(value) {
		return command.Usagef("init: --%s %q must be a number greater than zero", question.Flag, value)
	}
	maps.Copy(s.answers, split(question, value))
	return nil
}

func isNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0
}

// fromDomain returns the domain of the From address, or "" if it is not one address with a domain.
func (s *setup) fromDomain() string {
	if list, err := mime.ParseAddressList(s.from); err == nil && len(list) == 1 {
		_, domain, _ := mime.SplitAddress(list[0].Addr)
		return domain
	}
	return ""
}
