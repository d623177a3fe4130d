package route

import (
	"fmt"
	"slices"
	"strings"
)

// condition is one key of a rule.
type condition interface {
	holds(in *Input) bool
	// explain reports in words why the condition holds or does not.
	explain(in *Input) string
	// text is the condition as a config might spell it.
	text() string
}

// valueCondition compares the values of a thing with patterns.
type valueCondition struct {
	key      string
	patterns *patterns
	values   func(in *Input) []string
}

func (c *valueCondition) holds(in *Input) bool {
	return c.patterns.ok(c.values(in))
}

func (c *valueCondition) explain(in *Input) string {
	values := c.values(in)
	what := c.key + " = " + quoteValues(values)
	if len(values) == 0 {
		what = c.key + " has no value and"
	}
	if p, excluded := find(c.patterns.negate, values); excluded {
		return fmt.Sprintf("%s is excluded by %q", what, p)
	}
	if p, found := find(c.patterns.plain, values); found {
		return fmt.Sprintf("%s matches %q", what, p)
	}
	if len(c.patterns.plain) == 0 {
		return fmt.Sprintf("%s is not excluded by %s", what, quoteList(c.patterns.given))
	}
	return fmt.Sprintf("%s matches none of %s", what, quoteList(c.patterns.given))
}

func (c *valueCondition) text() string { return c.key + " = " + quoteList(c.patterns.given) }

// sizeCondition holds from min to max, both included; a max of 0 means no limit.
type sizeCondition struct{ min, max int64 }

func (c *sizeCondition) holds(in *Input) bool {
	return in.Size >= c.min && (c.max == 0 || in.Size <= c.max)
}

func (c *sizeCondition) explain(in *Input) string {
	switch {
	case in.Size < c.min:
		return fmt.Sprintf("size = %d is below min_size = %d", in.Size, c.min)
	case c.max > 0 && in.Size > c.max:
		return fmt.Sprintf("size = %d is above max_size = %d", in.Size, c.max)
	}
	return fmt.Sprintf("size = %d is within the limits", in.Size)
}

func (c *sizeCondition) text() string {
	var limits []string
	if c.min > 0 {
		limits = append(limits, fmt.Sprintf("min_size = %d", c.min))
	}
	if c.max > 0 {
		limits = append(limits, fmt.Sprintf("max_size = %d", c.max))
	}
	return strings.Join(limits, ", ")
}

func clientValues(in *Input) []string {
	if addr := in.Envelope.Client.Addr; addr.IsValid() {
		return []string{addr.String()}
	}
	return nil
}

func headerValues(name string) func(*Input) []string {
	return func(in *Input) []string {
		if in.Header == nil {
			return nil
		}
		return in.Header(name)
	}
}

// present returns no value for an empty text, so that "*" asks for presence.
func present(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// conditions are those of a rule.
type conditions struct {
	early []condition // the envelope decides
	late  []condition // they need the message
}

func (c *conditions) holds(in *Input) bool { return all(c.early, in) && in.lateHolds(c) }

// explain explains the conditions that hold or, if the rule does not match, those that fail.
func (c *conditions) explain(in *Input, matched bool) []string {
	var why []string
	for _, one := range slices.Concat(c.early, c.late) {
		if one.holds(in) == matched {
			why = append(why, one.explain(in))
		}
	}
	return why
}

func all(list []condition, in *Input) bool {
	return !slices.ContainsFunc(list, func(c condition) bool { return !c.holds(in) })
}

func quoteValues(values []string) string {
	if len(values) == 1 {
		return fmt.Sprintf("%q", shorten(values[0]))
	}
	short := make([]string, len(values))
	for i, v := range values {
		short[i] = shorten(v)
	}
	return quoteList(short)
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// shorten keeps explanations readable for long header values.
func shorten(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
