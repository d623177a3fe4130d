package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/glob"
	"mailhatch/gateway/route"
)

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
	table, err := route.Compile(c.file.Route)
	c.ruleErrors("route", err)
	c.routeNames(upstreams)
	c.unreachable()
	return table
}

// strangers warns of rules for listeners and users of which this config has none.
func (c *checker) strangers(all []Listener) {
	listeners, users := []string{SubmitName, BounceName, envelope.CanaryListener}, []string{}
	anybody := false // users may have names that the config does not say
	for i := range all {
		l := &all[i]
		listeners = append(listeners, l.Address)
		anybody = anybody || l.AnyAuth || l.ClientCAFile != ""
		for j := range l.Users {
			users = append(users, l.Users[j].Name)
		}
	}
	check := func(path string, m *route.Match) {
		c.unmatched(path+".listener", m.Listener, listeners)
		if !anybody {
			c.unmatched(path+".user", m.User, append(users, "uid:*"))
		}
	}
	for i := range c.file.Route {
		check(indexPath("route", i), &c.file.Route[i].Match)
	}
	for i := range c.file.Rewrite {
		check(indexPath("rewrite", i), &c.file.Rewrite[i].Match)
	}
}

// unmatched warns of patterns that match none of the names.
func (c *checker) unmatched(path string, patterns, names []string) {
	for i, p := range patterns {
		pattern, _ := glob.Word(p)
		matches := func(name string) bool {
			return glob.Match(pattern, strings.ToLower(name)) || strings.HasPrefix(pattern, "uid:") && name == "uid:*"
		}
		if !strings.HasPrefix(p, "!") && !slices.ContainsFunc(names, matches) {
			c.warn(indexPath(path, i), "%q matches none: there is %s", p, either(names))
		}
	}
}

// ruleErrors reports what is wrong with a list of rules. A rule with keys that were not decoded may only
// seem to be incomplete.
func (c *checker) ruleErrors(list string, err error) {
	undecoded := maps.Clone(c.bad)
	for _, e := range flatten(err) {
		var ke *route.KeyError
		if !errors.As(e, &ke) {
			c.report(list, e.Error(), "")
			continue
		}
		path := indexPath(list, ke.Rule)
		switch {
		case ke.Key != "":
			key, name, _ := strings.Cut(ke.Key, ".")
			if path += "." + key; name != "" {
				path = joinPath(path, name)
			}
			c.report(itemPath(path, ke.Item), ke.Problem, ke.Hint)
		case !hasBadKey(undecoded, path):
			c.report(path, ke.Problem, ke.Hint)
		}
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
		if items := glob.List(name); len(items) > 1 {
			hint = glob.WriteList(items)
		} else if hint == "" && len(upstreams) > 0 {
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
		// Released mail passes over rules that hold.
		if r.Unconditional() && !r.Hold && i+1 < len(c.file.Route) {
			c.warn(indexPath("route", i+1), "is never reached: the route on line %d has no condition",
				c.lines.At(indexPath("route", i)))
			return
		}
	}
}

// flatten returns the errors that were joined.
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
