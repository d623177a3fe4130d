package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/config"
	"mailhatch/mime"
)

// setup is what a first config needs to know. Empty answers are left out of it.
type setup struct {
	kind     string
	region   string
	domain   string // Mailgun's sending domain
	from     string // "App <noreply@example.com>"
	key      string // api_key or password as the config writes it
	host     string
	port     string
	tls      string
	user     string
	root     string
	listen   string
	stateDir string
	runDir   string
}

// setupKind is one way to hand mail on, as init offers it.
type setupKind struct {
	name, keyEnv string
	regions      []string // the first one is the default
}

func setupKinds() []setupKind {
	return []setupKind{
		{"resend", "RESEND_API_KEY", nil},
		{"sendgrid", "SENDGRID_API_KEY", []string{"global", "eu"}},
		{"mailgun", "MAILGUN_API_KEY", []string{"us", "eu"}},
		{"smtp", "SMTP_PASSWORD", nil},
	}
}

const defaultOutput = "mailhatch.toml"

// runInit writes a first config. On a terminal it asks for what the flags leave open.
func runInit(_ context.Context, a *app, args []string) error {
	fs := a.flags("init")
	var s setup
	fs.StringVar(&s.kind, "upstream", "", "who takes the mail on, a `type`: resend, sendgrid, mailgun or smtp")
	fs.StringVar(&s.from, "from", "", "`address` of your mail; the From of other domains is rewritten to it")
	fs.StringVar(&s.domain, "domain", "", "Mailgun's sending `domain` (default: that of --from)")
	fs.StringVar(&s.region, "region", "", "`region` of SendGrid (global, eu) or Mailgun (us, eu)")
	fs.StringVar(&s.key, "api-key", "", "`where` the key or password is kept: env:NAME, file:/path or cred:NAME; never the secret itself")
	fs.Func("api-key-file", "the same as --api-key file:`path`", func(path string) error { s.key = "file:" + path; return nil })
	fs.StringVar(&s.host, "relay-host", "", "`name` of the SMTP relay")
	fs.StringVar(&s.port, "relay-port", "", "its `port` (default: by --relay-tls)")
	fs.StringVar(&s.tls, "relay-tls", "", "its TLS `mode`: starttls, implicit, opportunistic or none")
	fs.StringVar(&s.user, "relay-user", "", "user `name` at the relay")
	fs.StringVar(&s.key, "relay-password", "", "`where` the key or password is kept: env:NAME, file:/path or cred:NAME; never the secret itself")
	fs.Func("relay-password-file", "the same as --relay-password file:`path`", func(path string) error { s.key = "file:" + path; return nil })
	fs.StringVar(&s.root, "root", "", "`address` that gets the mail for root")
	fs.StringVar(&s.listen, "listen", "127.0.0.1:1025", "`address` where programs hand their mail over")
	fs.StringVar(&s.stateDir, "state-dir", "", "`directory` of the queue (default: that of the file which is replaced, else the account's own)")
	output := fs.String("output", defaultOutput, "`file` to write; - is standard output")
	force := fs.Bool("force", false, "replace the file where there is one; its directories, owner and mode stay")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return command.Usagef("init takes no arguments, but there is %q", rest[0])
	}
	if s.key != "" && !isReference(s.key) {
		return command.Hintf(command.Usagef("init: a secret is not taken from the command line, where others can read it"),
			"say env:NAME or file:/path, or leave it out and be asked")
	}
	if _, err := os.Lstat(*output); err == nil && !*force {
		return existsError(*output)
	}
	if terminal.Interactive(a.stdin) {
		err = newAsker(a).ask(&s)
	}
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		return err
	}
	stateDir, runDir := config.KeptDirs(*output)
	s.stateDir, s.runDir = cmp.Or(s.stateDir, stateDir), runDir
	if *output == "-" {
		_, err := fmt.Fprint(a.stdout, s.config())
		return err
	}
	return a.writeConfig(&s, *output, *force)
}

// isReference says that the config tells where a secret is, not the secret.
func isReference(s string) bool {
	return strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") || strings.HasPrefix(s, "cred:")
}

func existsError(path string) error {
	return command.Hintf(fmt.Errorf("%s is there already", path), "--output names another file, --force replaces this one")
}

// complete fills in what has a default and refuses what the config could not hold.
func (s *setup) complete() error {
	kinds := setupKinds()
	at := slices.IndexFunc(kinds, func(k setupKind) bool { return k.name == s.kind })
	if at < 0 {
		return command.Hintf(command.Usagef("init: --upstream %q must be resend, sendgrid, mailgun or smtp", s.kind), "on a terminal mailhatch init asks for it")
	}
	kind := kinds[at]
	if s.from != "" {
		list, err := mime.ParseAddressList(s.from)
		if err != nil || len(list) != 1 || domainOf(list[0].Addr) == "" {
			return command.Hintf(command.Usagef("init: --from %q is not an address", s.from), `write noreply@example.com or "App <noreply@example.com>"`)
		}
	}
	switch s.kind {
	case "smtp":
		if s.host == "" {
			return command.Usagef("init: --relay-host is missing")
		}
		if s.user != "" {
			s.key = cmp.Or(s.key, "env:"+kind.keyEnv)
		}
	case "mailgun":
		if s.domain = cmp.Or(s.domain, s.fromDomain()); s.domain == "" {
			return command.Usagef("init: --domain is missing")
		}
		fallthrough
	default:
		s.key = cmp.Or(s.key, "env:"+kind.keyEnv)
	}
	if n, err := strconv.Atoi(s.port); s.port != "" && (err != nil || n < 1) {
		return command.Usagef("init: --relay-port %q is no port", s.port)
	}
	for _, v := range []string{s.region, s.domain, s.from, s.key, s.host, s.tls, s.user, s.root, s.listen, s.stateDir} {
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
			return command.Usagef("init: an answer holds characters that no config has")
		}
	}
	return nil
}

// domainOf gives the domain of an address, "" for a bare name.
func domainOf(addr string) string {
	if at := strings.LastIndexByte(addr, '@'); at > 0 {
		return addr[at+1:]
	}
	return ""
}

func (s *setup) fromDomain() string {
	if list, err := mime.ParseAddressList(s.from); err == nil && len(list) == 1 {
		return domainOf(list[0].Addr)
	}
	return ""
}

var tomlQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func tomlString(s string) string { return `"` + tomlQuotes.Replace(s) + `"` }

// config writes the answers as a config.
func (s *setup) config() string {
	var b strings.Builder
	key := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", name, tomlString(value))
		}
	}
	b.WriteString("# Written by mailhatch init. config.example.toml shows every key; mailhatch check tells what is wrong.\n")
	key("state_dir", s.stateDir)
	key("run_dir", s.runDir)
	b.WriteString("\n# Programs hand their mail over here.\n[[listener]]\n")
	key("address", s.listen)
	b.WriteString("\n# This upstream takes it on.\n[upstream.main]\n")
	key("type", s.kind)
	if s.kind == "smtp" {
		key("host", s.host)
		if s.port != "" {
			fmt.Fprintf(&b, "port = %s\n", s.port)
		}
		key("tls", s.tls)
		key("username", s.user)
		key("password", s.key)
	} else {
		key("api_key", s.key)
		key("region", s.region)
		if s.kind == "mailgun" {
			key("domain", s.domain)
		}
	}
	if domain := s.fromDomain(); domain != "" {
		fmt.Fprintf(&b, "# Mail from other domains goes as rewrite_from, with the author in Reply-To.\nfrom_domains = [%s]\n", tomlString(domain))
		key("rewrite_from", s.from)
	}
	b.WriteString("\n# No condition: all mail goes there.\n[[route]]\nvia = [\"main\"]\n")
	if s.root != "" {
		b.WriteString("\n[aliases]\n")
		key("root", s.root)
	}
	if domain := s.fromDomain(); domain != "" {
		b.WriteString("\n# Completes names without a domain, and messages without a From.\n[identity]\n")
		key("domain", domain)
		key("default_from", s.from)
	}
	return b.String()
}

// writeConfig writes the file, for this account's eyes only or as the one that it replaces, when it is a
// good config.
func (a *app) writeConfig(s *setup, path string, force bool) error {
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
		missing, err = a.tryConfig(target)
	}
	if err == nil && force {
		if err = keepOwner(path, target); err == nil {
			err = os.Rename(target, path)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(target))
	}
	a.nextSteps(s, path, missing)
	return nil
}

// tryConfig reads the new file as serve would. A secret that is not there yet is no fault of it.
func (a *app) tryConfig(path string) (missing string, err error) {
	cfg, err := config.Load(path, a.loadOptions())
	if err == nil {
		return "", cfg.Close()
	}
	var bad *config.Error
	if !errors.As(err, &bad) {
		return "", err
	}
	for _, p := range bad.Problems {
		if !strings.HasSuffix(p.Key, ".api_key") && !strings.HasSuffix(p.Key, ".password") {
			return "", err
		}
		missing = p.Problem
	}
	return missing, nil
}

func (a *app) nextSteps(s *setup, path, missing string) {
	config := ""
	if path != defaultOutput {
		config = " -c " + path
	}
	fmt.Fprintf(a.stdout, "%s is written. Next:\n\n", path)
	if missing != "" {
		name := "the secret"
		if env, ok := strings.CutPrefix(s.key, "env:"); ok {
			name = "$" + env
		} else if file, ok := strings.CutPrefix(s.key, "file:"); ok {
			name = file
		}
		fmt.Fprintf(a.stdout, "  provide %s: %s\n", name, missing)
	}
	fmt.Fprintf(a.stdout, "  mailhatch%[1]s check --online\n  mailhatch%[1]s serve\n  mailhatch%[1]s send --to you@example.org\n", config)
}
