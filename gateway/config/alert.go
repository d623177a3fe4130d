package config

import (
	"cmp"
	"fmt"

	"mailhatch/gateway/alert"
	"mailhatch/upstream"
)

// keyErrors reports what a table's owner finds wrong with it.
func (c *checker) keyErrors(table string, problems []*upstream.KeyError) {
	for _, e := range problems {
		c.report(table+"."+e.Key, e.Problem, cmp.Or(e.Hint, didYouMean(e.Value, e.Allowed)))
	}
}

// alerts checks who is told of what.
func (c *checker) alerts() []*alert.Alerter {
	named, good := map[string]bool{}, !c.isBad("alert")
	for i := range c.file.Alert {
		s := &c.file.Alert[i]
		path := indexPath("alert", i)
		if s.CAFile != "" {
			s.CAFile = resolvePath(c.File, s.CAFile)
		}
		given := func(key string) bool { _, ok := c.lines[path+"."+key]; return ok }
		c.keyErrors(path, s.Check(given))
		if s.Name != "" && named[s.Name] {
			c.report(path+".name", fmt.Sprintf("%q is used twice", s.Name), "")
		}
		named[s.Name] = true
		if hasBadKey(c.bad, path) {
			good = false
			continue
		}
		for _, advice := range s.Advice() {
			c.warn(path+"."+advice.Key, "%s", advice.Problem)
		}
	}
	if !good {
		return nil
	}
	list, err := alert.Open(c.file.Alert, c.opts.Version)
	if err != nil { // a file that was there just now
		c.report("alert", err.Error(), "")
	}
	return list
}
