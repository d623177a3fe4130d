package page

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/config"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

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
		table, name := k.Cut()
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

// gone is the screen of addresses that get no mail.
type gone struct {
	Rows      []goneRow
	Address   string // that is asked for
	Reason    string
	Reasons   []queue.SuppressionReason
	Next      string   // address of the next page
	Lifted    string   // that was just taken off
	On        []string // events that put addresses here
	Listening bool     // some upstream tells of such
}

type goneRow struct {
	suppressed.Suppression
	Providers []string // upstreams whose provider can take it off its own list
}

func (p *Page) suppressed(v *view) error {
	q, cfg := v.r.URL.Query(), p.cfg.Config()
	g := &gone{Address: q.Get("address"), Reason: q.Get("reason"), Reasons: queue.SuppressionReasons(), Lifted: q.Get("lifted"), On: cfg.Suppression.On}
	list, err := suppressed.List(v.ctx, p.cfg.Gateway, suppressed.Filter{Address: g.Address, Reason: g.Reason, After: q.Get("after"), Limit: perPage})
	if err != nil {
		return err
	}
	var providers []string
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		if upstream.SuppressorOf(u.Upstream) != nil {
			providers = append(providers, u.Name)
		}
	}
	g.Listening = listening(cfg)
	for _, s := range list.Entries {
		row := goneRow{Suppression: s}
		if slices.Contains(providers, s.Upstream) {
			row.Providers = []string{s.Upstream}
		} else if s.Upstream == "" {
			row.Providers = providers
		}
		g.Rows = append(g.Rows, row)
	}
	if list.Next != "" {
		g.Next = "/suppressed?" + url.Values{"address": {g.Address}, "reason": {g.Reason}, "after": {list.Next}}.Encode()
	}
	return p.show(v, http.StatusOK, "suppressed", "Suppressed", g)
}

// listening reports whether some upstream tells later what became of mail.
func listening(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Upstreams, func(u config.Upstream) bool {
		f, ok := u.Upstream.(upstream.Feedback)
		return ok && !f.Listening().Off()
	})
}

// lift takes an address off the list, and off the provider's where that is wanted.
func (p *Page) lift(v *view) error {
	if err := v.r.ParseForm(); err != nil {
		return badForm("The form cannot be read.", err.Error())
	}
	address, domain := v.r.Form.Get("address"), v.r.Form.Get("domain")
	removed, err := p.cfg.Gateway.Unsuppress(v.ctx, suppressed.Removal{Addresses: []string{address}, Domain: &domain, Upstream: v.r.Form.Get("upstream")}, p.cfg.Caller(v.r).By)
	if err != nil {
		return badForm("This cannot be done.", err.Error())
	}
	if len(removed.Missing) > 0 {
		return &refusal{http.StatusNotFound, "This address is not on the list.", "Somebody else may have lifted it, or its time is over."}
	}
	http.Redirect(v.w, v.r, "/suppressed?lifted="+url.QueryEscape(address), http.StatusSeeOther)
	return nil
}
