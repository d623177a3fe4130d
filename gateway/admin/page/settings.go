package page

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mailhatch/gateway/config"
)

// suppressed is the screen of addresses that get no mail.
func (p *Page) suppressed(v *view) error {
	return p.show(v, http.StatusOK, "suppressed", "Suppressed", nil)
}

// settings is the screen of the config in force.
type settings struct {
	File     string // "" for the built-in one
	StateDir string
	Warnings []string // of no key that is shown
	Tables   []settingsTable
	Notes    []string // of a reload
	Reloaded bool
	Wrong    []config.Problem // why a reload was refused
	Refused  string           // the same, where it is no problem of the config
}

type settingsTable struct {
	Name, Title string
	Keys        []setting
}

// title is the path of a table as people know it: "[queue]", "[[route]] 2".
func title(path string) string {
	name, index, ok := strings.Cut(path, "[")
	if !ok {
		return "[" + path + "]"
	}
	number, rest, _ := strings.Cut(index, "]")
	if n, err := strconv.Atoi(number); err == nil {
		return fmt.Sprintf("[[%s]] %d%s", name, n+1, rest)
	}
	return path
}

// setting is a key with its value, and what is odd about it.
type setting struct {
	config.Setting
	Name     string // without its table
	Warnings []string
}

func (p *Page) config(v *view) error { return p.showConfig(v, &settings{}) }

func (p *Page) showConfig(v *view, s *settings) error {
	cfg := p.cfg.Config()
	s.File, s.StateDir = cfg.File, cfg.StateDir
	warnings := slices.Clone(cfg.Warnings)
	for _, k := range cfg.Settings {
		table, name := cutLast(k.Key)
		if n := len(s.Tables); n == 0 || s.Tables[n-1].Name != table {
			s.Tables = append(s.Tables, settingsTable{Name: table, Title: title(table)})
		}
		shown := setting{Setting: k, Name: name}
		warnings = slices.DeleteFunc(warnings, func(w string) bool {
			if is := strings.Contains(w, ": "+k.Key+": "); is {
				shown.Warnings = append(shown.Warnings, w)
				return true
			}
			return false
		})
		t := &s.Tables[len(s.Tables)-1]
		t.Keys = append(t.Keys, shown)
	}
	s.Warnings = warnings
	return p.show(v, http.StatusOK, "config", "Config", s)
}

// cutLast divides a path at its last dot.
func cutLast(path string) (table, key string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// reload reads the config again.
func (p *Page) reload(v *view) error {
	notes, err := p.cfg.Gateway.Reload(v.ctx)
	s := &settings{Notes: notes, Reloaded: err == nil}
	var bad *config.Error
	switch {
	case errors.As(err, &bad):
		s.Wrong = bad.Problems
	case err != nil:
		s.Refused = err.Error()
	}
	return p.showConfig(v, s)
}
