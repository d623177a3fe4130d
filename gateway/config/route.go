package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"mailhatch/gateway/route"
)

// matchTable is the conditions of a [[route]] or a [[rewrite]].
type matchTable struct {
	route.Match
	MinSize Size `toml:"min_size"`
	MaxSize Size `toml:"max_size"`
}

func (t *matchTable) match() route.Match {
	m := t.Match
	m.MinSize, m.MaxSize = int64(t.MinSize), int64(t.MaxSize)
	return m
}

// routeTable is one [[route]].
type routeTable struct {
	Name string `toml:"name"`
	matchTable

	Via     []string       `toml:"via"`
	Balance map[string]int `toml:"balance"`
	Reject  string         `toml:"reject"`
	Discard bool           `toml:"discard"`
	Hold    bool           `toml:"hold"`

	OnFailure     string `toml:"on_failure"`
	FailoverAfter int    `toml:"failover_after"`
}

func (t *routeTable) rule() route.Rule {
	return route.Rule{
		Name: t.Name, Match: t.match(),
		Via: t.Via, Balance: t.Balance, Reject: t.Reject, Discard: t.Discard, Hold: t.Hold,
		OnFailure: t.OnFailure, FailoverAfter: t.FailoverAfter,
	}
}

// routes compiles the rules and checks the upstreams they name.
func (c *checker) routes(upstreams []string) *route.Table {
	if len(c.file.Route) == 0 && !c.isBad("route") {
		name := "NAME"
		if len(upstreams) > 0 {
			name = upstreams[0]
		}
		c.report("", "there is no [[route]], so no mail could go anywhere",
			fmt.Sprintf("for a catch-all add the two lines\n    [[route]]\n    via = [%q]", name))
		return nil
	}
	rules := make([]route.Rule, len(c.file.Route))
	for i := range c.file.Route {
		rules[i] = c.file.Route[i].rule()
	}
	undecoded := make([]bool, len(rules)) // a rule whose via did not decode seems to have no action
	for i := range rules {
		undecoded[i] = c.hasBadKey(indexPath("route", i))
	}
	table, err := route.Compile(rules)
	c.ruleErrors("route", err, undecoded)
	c.routeNames(upstreams)
	c.unreachable()
	return table
}

// ruleErrors reports what a list of rules complained of. Of undecoded rules nobody knows what they say.
func (c *checker) ruleErrors(list string, err error, undecoded []bool) {
	for _, e := range flatten(err) {
		var ke *route.KeyError
		if !errors.As(e, &ke) {
			c.report(list, e.Error(), "")
			continue
		}
		path := indexPath(list, ke.Rule)
		if ke.Key == "" && undecoded[ke.Rule] {
			continue
		}
		if ke.Key != "" {
			path += "." + ke.Key
		}
		c.report(path, ke.Problem, ke.Hint)
	}
}

// routeNames checks that via and balance name upstreams, and warns of upstreams that no route names.
func (c *checker) routeNames(upstreams []string) {
	used := map[string]bool{}
	check := func(path, name string) {
		if slices.Contains(upstreams, name) {
			used[name] = true
			return
		}
		hint := didYouMean(name, upstreams)
		if hint == "" && len(upstreams) > 0 {
			hint = "there is " + either(upstreams)
		}
		c.report(path, fmt.Sprintf("names %q, but there is no [upstream.%s]", name, name), hint)
	}
	for i, r := range c.file.Route {
		path := indexPath("route", i)
		for j, name := range r.Via {
			check(indexPath(path+".via", j), name)
			if slices.Index(r.Via, name) < j {
				c.report(indexPath(path+".via", j), fmt.Sprintf("names %q twice", name), "")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.Balance)) {
			check(joinPath(path+".balance", name), name)
		}
	}
	for _, name := range upstreams {
		if !used[name] {
			c.warn(joinPath("upstream", name), "no route sends mail to this upstream")
		}
	}
}

// unreachable warns of rules behind one that matches everything.
func (c *checker) unreachable() {
	for i := range c.file.Route {
		r := &c.file.Route[i]
		unconditional := len(r.From)+len(r.To)+len(r.HeaderFrom)+len(r.Subject)+len(r.Header)+
			len(r.Client)+len(r.User)+len(r.Listener) == 0 && r.MinSize == 0 && r.MaxSize == 0
		// Released mail passes over rules that hold.
		if unconditional && !r.Hold && i+1 < len(c.file.Route) {
			c.warn(indexPath("route", i+1), "is never reached: the route on line %d has no condition",
				c.lines.at(indexPath("route", i)))
			return
		}
	}
}

// flatten gives the errors that were joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, flatten(e)...)
	}
	return list
}
