package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
	Key    string `json:"key"`   // its path, such as "upstream.main.api_key"
	Value  string `json:"value"` // as TOML; secrets are ***
	Line   int    `json:"line,omitempty"`
	From   string `json:"from,omitempty"` // what it was read from, such as "env:NAME"
	origin string
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
		r.Settings = append(r.Settings, configKey{s.Key, s.Value, s.Line, s.From, originOf(cfg.File, s)})
	}
	if *asJSON {
		return a.printJSON(r)
	}
	fmt.Fprintln(a.stdout, "#", cmp.Or(cfg.File, "no config file: the built-in config"))
	for _, line := range configLines(r.Settings) {
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

// configLines writes keys as a TOML file, each with a comment that says where it comes from. The keys without a table
// come first, as TOML wants it.
func configLines(keys []configKey) (lines []string) {
	keys = slices.Clone(keys)
	slices.SortStableFunc(keys, func(x, y configKey) int { return min(depthOf(x.Key), 1) - min(depthOf(y.Key), 1) })
	table := ""
	for _, k := range keys {
		in, name := cutTable(k.Key)
		if in != table {
			table = in
			lines = append(lines, "", header(in))
		}
		value := k.Value
		if value == upstream.Redacted {
			value = strconv.Quote(value)
		}
		text := name + " = " + value
		pad := max(40-utf8.RuneCountInString(text), 2)
		lines = append(lines, text+strings.Repeat(" ", pad)+"# "+k.origin)
	}
	return lines
}

// header is the line that begins a table: of arrays, a new one.
func header(path string) string {
	plain := arrayIndex.ReplaceAllString(path, "")
	if strings.HasSuffix(path, "]") {
		return "[[" + plain + "]]"
	}
	return "[" + plain + "]"
}

func depthOf(path string) int {
	table, _ := cutTable(path)
	return len(table)
}

// cutTable splits the path of a key at its last dot outside quotes.
func cutTable(path string) (table, key string) {
	quoted, at := false, -1
	for i, c := range path {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			at = i
		}
	}
	return path[:max(at, 0)], path[at+1:]
}
