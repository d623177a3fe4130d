package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/config"
	"mailhatch/upstream/kinds"
)

// block is a piece of a document that people copy.
type block struct {
	place, language, text string
}

var (
	fence    = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	indented = regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`)
	isTOML   = regexp.MustCompile(`^(\[\[?[a-z_."]+\]\]?|[a-z_]+ = )`)
)

// documents are the files whose blocks are tried.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../doc/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(files, "../../README.md", "../../CONTRIBUTING.md")
}

// blocks returns what stands between fences and what is indented, in all documents.
func blocks(t *testing.T) (list []block) {
	t.Helper()
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add := func(language, text string) {
			text = strings.Trim(text, "\n")
			if language == "" && isTOML.MatchString(text) {
				language = "toml"
			}
			place := fmt.Sprintf("%s:%d", filepath.Base(file), 1+strings.Count(string(b[:max(0, strings.Index(string(b), text))]), "\n"))
			list = append(list, block{place, language, text})
		}
		for _, m := range fence.FindAllStringSubmatch(string(b), -1) {
			add(m[1], m[2])
		}
		for _, m := range indented.FindAllString(fence.ReplaceAllString(string(b), ""), -1) {
			if text := regexp.MustCompile(`(?m)^    `).ReplaceAllString(m, ""); strings.TrimSpace(text) != "" {
				add("", text)
			}
		}
	}
	return list
}

// TestDocumentedConfigs: each piece of a config in the documents is one, together with upstreams for the names that it only mentions.
func TestDocumentedConfigs(t *testing.T) {
	tried := 0
	for _, b := range blocks(t) {
		if b.language != "toml" {
			continue
		}
		tried++
		t.Run(b.place, func(t *testing.T) {
			var bad *config.Error
			err := config.Try("mailhatch.toml", completed(b.text), config.Options{Kinds: kinds.Kinds()})
			if err != nil && !errors.As(err, &bad) {
				t.Fatalf("%v\n%s", err, completed(b.text))
			}
			if bad != nil {
				for _, p := range bad.Problems {
					if !strings.Contains(p.Problem, "no such file") { // the ones that its reader has
						t.Errorf("%d: %s: %s", p.Line, p.Key, p.Problem)
					}
				}
			}
		})
	}
	if tried < 20 {
		t.Errorf("only %d configs found", tried)
	}
}

var (
	mention  = regexp.MustCompile(`(?m)^\s*(?:via|upstreams) *= *(\[[^\]]*\]|"[^"]*")|balance *= *\{([^}]*)\}`)
	quotedID = regexp.MustCompile(`"([\w-]+)"|([\w-]+) *=`)
)

// completed gives a piece of a config what it lacks: a catch-all, and upstreams of the names that it mentions.
func completed(text string) string {
	text = strings.ReplaceAll(text, "$2a$10$…", "$2a$10$L9ka7YFaojhdKEsGaFnCx.psBv54poI0EkauKKljSVCpM4h.kfza.")
	names := []string{"main"}
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		for _, q := range quotedID.FindAllStringSubmatch(m[1]+m[2], -1) {
			names = append(names, q[1]+q[2])
		}
	}
	if !strings.Contains(text, "[[route]]") {
		text += "\n[[route]]\nvia = [\"main\"]\n"
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !regexp.MustCompile(`(?m)^\s*\[upstream\.` + name + `\b`).MatchString(text) {
			text += "\n[upstream." + name + "]\ntype = \"memory\"\n"
		} else if !regexp.MustCompile(`(?m)^type *=`).MatchString(text) { // some keys of an upstream
			text = regexp.MustCompile(`(?m)^\s*\[upstream\.`+name+`\]`).ReplaceAllString(text, "$0\ntype = \"memory\"")
		}
	}
	return text
}

// TestDocumentedCommands: each command line of mailhatch in the documents has a command and flags that there are.
func TestDocumentedCommands(t *testing.T) {
	flags := map[string][]string{}
	for _, c := range command.Flatten(help()) {
		flags[c.Name] = []string{"--help", "--config", "-c", "-h"}
		for _, f := range c.Flags {
			flags[c.Name] = append(flags[c.Name], f.Names...)
		}
	}
	line := regexp.MustCompile(`(?:^|[|&;(\s$])(?:bin/)?mailhatch((?: +(?:"[^"]*"|'[^']*'|[^\s|&;<>"'#[]+))+)`)
	code := regexp.MustCompile("`((?:bin/)?mailhatch [^`\n]*)`")
	tried := 0
	try := func(place, text string) {
		for _, m := range line.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1) {
			if why := unknownIn(strings.Fields(m[1]), flags); why != "" {
				t.Errorf("%s: mailhatch%s: %s", place, m[1], why)
			}
			tried++
		}
	}
	for _, b := range blocks(t) {
		if b.language == "" || b.language == "sh" {
			for _, text := range strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
				text, _, _ = strings.Cut(text, " #")
				try(b.place, text)
			}
		}
	}
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(b), -1) {
			try(filepath.Base(file), m[1])
		}
	}
	if tried < 80 {
		t.Errorf("only %d command lines found", tried)
	}
}

// TestDocumentedShell: each piece of shell in the documents can be parsed, and what it asks of make is there.
func TestDocumentedShell(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1)
	shell, noShell := exec.LookPath("sh")
	tried := 0
	for _, b := range blocks(t) {
		if b.language == "sh" && noShell == nil {
			cmd := exec.Command(shell, "-n")
			cmd.Stdin = strings.NewReader(b.text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", b.place, err, out)
			}
			tried++
		}
		if b.language == "" || b.language == "sh" {
			for _, m := range regexp.MustCompile(`(?m)(?:^|&& |; |sudo )make ([a-z-]+)`).FindAllStringSubmatch(b.text, -1) {
				if !slices.ContainsFunc(targets, func(target []string) bool { return target[1] == m[1] }) {
					t.Errorf("%s: make %s: there is no such target", b.place, m[1])
				}
			}
		}
	}
	if tried < 10 && noShell == nil {
		t.Errorf("only %d pieces of shell found", tried)
	}
}

// unknownIn returns what of a command line there is not.
func unknownIn(words []string, flags map[string][]string) string {
	name := ""
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "-") && name == "" && i == 0:
			if _, _, value := strings.Cut(w, "="); !value && (w == "-c" || w == "--config") {
				return unknownIn(words[2:], flags)
			}
			return ""
		case strings.HasPrefix(w, "-") && len(w) > 1:
			flag, _, _ := strings.Cut(w, "=")
			if name != "sendmail" && !slices.Contains(flags[name], flag) {
				return "no flag " + flag
			}
		case name == "":
			name = w
		default:
			if _, ok := flags[name+" "+w]; ok {
				name += " " + w
			}
		}
	}
	if _, ok := flags[name]; name != "" && !ok && name != "help" {
		return "no such command"
	}
	return ""
}
