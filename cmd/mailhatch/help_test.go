package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/manual"
)

// TestEveryCommandIsDescribed: each has words, and flags that were found by asking it for help.
func TestEveryCommandIsDescribed(t *testing.T) {
	for _, c := range command.Flatten(help()) {
		if c.Doc == "" {
			t.Errorf("%s: no words", c.Name)
		}
		if c.Sub != nil || c.Name == "sendmail" {
			continue
		}
		if !slices.ContainsFunc(c.Flags, func(f command.Flag) bool { return slices.Equal(f.Names, []string{"-c", "--config"}) }) {
			t.Errorf("%s: no flag --config: does it parse its flags first?", c.Name)
		}
		for _, f := range c.Flags {
			if f.Doc == "" || strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s %v: %q", c.Name, f.Names, f.Doc)
			}
		}
	}
}

// TestHelpOfEachCommand: what --help prints names all flags.
func TestHelpOfEachCommand(t *testing.T) {
	for _, c := range command.Flatten(help()) {
		var out, errs bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
		if code := a.main(t.Context(), append(strings.Fields(c.Name), "--help")); code != 0 || errs.Len() > 0 {
			t.Errorf("%s --help: exit %d, %s", c.Name, code, &errs)
		}
		if !strings.HasPrefix(out.String(), "usage: mailhatch "+c.Name) {
			t.Errorf("%s --help: %s", c.Name, &out)
		}
		for _, f := range c.Flags {
			if !strings.Contains(out.String(), "\n  "+f.String()+"\n") {
				t.Errorf("%s --help: no %s:\n%s", c.Name, f, &out)
			}
		}
	}
}

func TestManPages(t *testing.T) {
	pages := manual.Pages(help())
	for _, c := range command.Flatten(help()) {
		if !strings.Contains(pages["mailhatch.1"], ".SS "+manual.Escape(c.Synopsis())+"\n") {
			t.Errorf("mailhatch(1) does not have %s", c.Synopsis())
		}
	}
	for _, key := range []string{"state_dir", "max_recipients", "from_domains", "on_uncertain", "format"} {
		if !regexp.MustCompile(`(?m)^\.TP\n\\fB` + key + " = .+\n[A-Za-z$(\\\\]").MatchString(pages["mailhatch.toml.5"]) {
			t.Errorf("mailhatch.toml(5) does not explain %s", key)
		}
	}
	for name, page := range pages {
		if strings.Contains(page, `.\"`) {
			t.Errorf("%s has a mark that was not filled", name)
		}
	}
}

// TestConfigReferenceIsCurrent: what is embedded is the example of the repository.
func TestConfigReferenceIsCurrent(t *testing.T) {
	b, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != manual.ExampleConfig {
		t.Error("config.example.toml has changed: run go generate ./cmd/mailhatch/manual (make build does)")
	}
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func TestManPagesAreClean(t *testing.T) {
	for name, page := range manual.Pages(help()) {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(tool(t, "mandoc"), "-T", "lint", "-W", "all")
			cmd.Stdin = strings.NewReader(page)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// printed returns what a command prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	if code := a.main(t.Context(), args); code != 0 {
		t.Fatalf("%q: exit %d, %s", args, code, &errs)
	}
	return out.String()
}

func TestBashCompletion(t *testing.T) {
	bash := tool(t, "bash")
	script := printed(t, "completion", "bash")
	for line, want := range map[string]string{
		"mailhatch hash":                        "hash-password",
		"mailhatch -c serve hash":               "hash-password",
		"mailhatch queue re":                    "retry release resend",
		"mailhatch queue retry --al":            "--all",
		"mailhatch check --on":                  "--online",
		"mailhatch completion z":                "zsh",
		"mailhatch man mailhatch.":              "mailhatch.toml",
		"mailhatch send --from retry":           "",
		"mailhatch check --config /etc/hostnam": "/etc/hostname",
		"mailhatch queue list --state h":        "held",
		"mailhatch queue list --state m":        "maildrop",
		"mailhatch queue hold --state m":        "",
		"mailhatch log --state s":               "sent",
		"mailhatch log --state b":               "bounced",
		"mailhatch log --export c":              "csv",
		"mailhatch queue hold --upstream m":     "main",
		"mailhatch -c f render --upstream o":    "of-f",
		"mailhatch upstream pause m":            "main",
		"mailhatch login r":                     "relay",
		"mailhatch queue show 38":               "38AA 38BB",
		"mailhatch queue retry --all 38B":       "38BB",
		"mailhatch log --id 38A":                "38AA",
		"mailhatch init --client-id 38A":        "",
		"mailhatch init --upstream se":          "sendgrid ses",
		"mailhatch init --preset mic":           "microsoft365",
		"mailhatch presets mic":                 "microsoft365",
		"mailhatch init --relay-tls s":          "starttls",
		"mailhatch hel":                         "help",
		"mailhatch help que":                    "queue",
		"mailhatch help queue expo":             "export",
		"mailhatch help alert t":                "test",
		"mailhatch queue export --sta":          "--state",
	} {
		words := strings.Fields(line)
		probe := script + `
mailhatch() { case "$*" in '-c f completion upstreams') echo of-f;; 'completion upstreams') echo main relay;; 'completion ids') echo 38AA 38BB;; 'completion types') echo sendgrid ses smtp;; 'completion presets') echo gmail microsoft365;; esac; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_mailhatch; echo "${COMPREPLY[*]}"`
		cmd := exec.Command(bash, append([]string{"--norc", "-c", probe, "probe"}, words...)...)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %q, %v, want %q", line, out, err, want)
		}
	}
}

func TestZshCompletion(t *testing.T) {
	zsh := tool(t, "zsh")
	path := filepath.Join(t.TempDir(), "_mailhatch")
	if err := os.WriteFile(path, []byte(printed(t, "completion", "zsh")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(zsh, "-f", "-n", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestZshFollowsTheCommand: what zsh asks for behind a command are the flags of that command.
func TestZshFollowsTheCommand(t *testing.T) {
	zsh := tool(t, "zsh")
	const frame = `_arguments() { print -rl -- "$@"; state=argument }; words=(check)` + "\n"
	out, err := exec.Command(zsh, "-f", "-c", frame+printed(t, "completion", "zsh")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\n*--online[check ") || strings.Contains(string(out), "--attach") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFishCompletion(t *testing.T) {
	fish := tool(t, "fish")
	dir := t.TempDir()
	path := filepath.Join(dir, "mailhatch.fish")
	if err := os.WriteFile(path, []byte(printed(t, "completion", "fish")), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"mailhatch hash":             "hash-password\t",
		"mailhatch queue rel":        "release\t",
		"mailhatch queue retry --al": "--all\t",
		"mailhatch check --on":       "--online\t",
		"mailhatch completion z":     "zsh",

		"mailhatch queue list --state h":    "held",
		"mailhatch queue hold --upstream m": "main",
		"mailhatch upstream pause m":        "main",
		"mailhatch queue show 38B":          "38BB",
		"mailhatch help que":                "queue\t",
		"mailhatch help queue expo":         "export",
		"mailhatch init --relay-tls i":      "implicit",
	} {
		const known = "function mailhatch; switch \"$argv\"; case '*upstreams'; echo main; echo relay; case '*ids'; echo 38AA; echo 38BB; end; end; "
		cmd := exec.Command(fish, "--no-config", "-c", known+"source $argv[1]; complete -C $argv[2]", path, line)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: %q, %v, want %q", line, out, err, want)
		}
	}
}
