package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// configResult is what `config --json` prints.
type configResult struct {
	File     string      `json:"file"` // "" for the built-in config
	Settings []configKey `json:"settings"`
}

type configKey struct {
	Key   string `json:"key"`   // its path, such as "upstream.main.api_key"
	Value string `json:"value"` // as TOML; secrets are ***
	Line  int    `json:"line,omitempty"`
	From  string `json:"from,omitempty"` // what it was read from, such as "env:NAME"
}

// runConfig shows the config in force by its file and this command's environment, defaults included.
func runConfig(_ context.Context, a *app, args []string) error {
	fs := a.flags("config")
	asJSON := fs.Bool("json", false, "one JSON object")
	if err := command.ParseAlone(fs, args); err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	r := configResult{File: cfg.File, Settings: []configKey{}}
	for _, s := range cfg.Settings {
		r.Settings = append(r.Settings, configKey(s))
	}
	if *asJSON {
		return a.printJSON(r)
	}
	fmt.Fprintln(a.stdout, "#", cmp.Or(cfg.File, "no config file: the built-in config"))
	for _, line := range configLines(cfg) {
		fmt.Fprintln(a.stdout, line)
	}
	return nil
}

// originOf says where a value of a config comes from.
func originOf(file string, s config.Setting) string {
	origin := "default"
	switch {
	case s.Line > 0 && file == "":
		origin = "built-in config"
	case s.Line > 0 && file == config.Environment:
		origin = "environment"
	case s.Line > 0:
		origin = fmt.Sprint("line ", s.Line)
	}
	if s.From != "" && file != config.Environment {
		return origin + ", from " + s.From
	}
	return origin
}

var arrayIndex = regexp.MustCompile(`\[\d+\]`)

// configLines writes the settings as a TOML file, each with a comment that says where its value comes from. TOML wants
// the keys outside of tables first.
func configLines(cfg *config.Config) []string {
	var lines, top []string
	table := ""
	for _, s := range cfg.Settings {
		value := s.Value
		if value == upstream.Redacted {
			value = strconv.Quote(value)
		}
		in, name := s.Cut()
		line := fmt.Sprintf("%-39s # %s", name+" = "+value, originOf(cfg.File, s))
		if in == "" {
			top = append(top, line)
			continue
		}
		if in != table {
			table = in
			lines = append(lines, "", header(in))
		}
		lines = append(lines, line)
	}
	return append(top, lines...)
}

// header is the line that begins a table: of arrays, a new one.
func header(path string) string {
	plain := arrayIndex.ReplaceAllString(path, "")
	if strings.HasSuffix(path, "]") {
		return "[[" + plain + "]]"
	}
	return "[" + plain + "]"
}
