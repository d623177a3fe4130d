package peers

import (
	"fmt"
	"slices"
	"strings"

	"mailhatch/cmd/mailbench/measure"
)

// Check is one figure of a line, with what is asked of it.
type Check struct {
	Line   string   `json:"line"`             // name for -only
	Figure string   `json:"figure"`           // in words
	Format string   `json:"format"`           // of Ours and Theirs, with the unit
	Ours   float64  `json:"ours"`             // mailhatch's
	Beside string   `json:"beside,omitempty"` // whose figure Theirs is
	Theirs float64  `json:"theirs,omitempty"`
	Value  float64  `json:"value"` // what is judged: Ours, or Ours / Theirs
	Least  *float64 `json:"least,omitempty"`
	Aim    *float64 `json:"aim,omitempty"`
	Lower  bool     `json:"less_is_better,omitempty"`
}

// ratio judges how many times theirs ours is. An unknown figure (0) makes an unknown ratio.
func ratio(line, figure, format string, ours float64, beside string, theirs float64) Check {
	c := Check{Line: line, Figure: figure, Format: format, Ours: ours, Beside: beside, Theirs: theirs}
	if theirs > 0 {
		c.Value = ours / theirs
	}
	return c
}

// amount judges a figure by itself.
func amount(line, figure, format string, ours float64) Check {
	return Check{Line: line, Figure: figure, Format: format, Ours: ours, Value: ours}
}

// atLeast asks for this much or more.
func (c Check) atLeast(least, aim float64) Check {
	c.Least, c.Aim = &least, &aim
	return c
}

// atMost asks for this much or less.
func (c Check) atMost(most, aim float64) Check {
	c.Lower = true
	return c.atLeast(most, aim)
}

// aimFor names an aim where no bound is asked.
func (c Check) aimFor(aim float64) Check {
	c.Aim = &aim
	return c
}

// isRatio tells a check that compares from one that stands alone.
func (c Check) isRatio() bool { return c.Beside != "" }

// verdict reports what came of it: "aim", "ok", "MISSED", "below the aim", "unknown", or "" where nothing is
// asked.
func (c Check) verdict() string {
	switch {
	case c.isRatio() && c.Value == 0:
		return "unknown"
	case c.Aim == nil:
		return ""
	case c.reaches(*c.Aim):
		return "aim"
	case c.Least == nil:
		return "below the aim"
	case c.reaches(*c.Least):
		return "ok"
	}
	return "MISSED"
}

func (c Check) reaches(bound float64) bool {
	if c.Lower {
		return c.Value <= bound
	}
	return c.Value >= bound
}

// row is the check's line of the Markdown table.
func (c Check) row() string {
	theirs, value := "", ""
	if c.isRatio() {
		theirs = c.Beside + " " + measure.Figure(c.Theirs, c.Format)
		value = measure.Figure(c.Value, "%.2f ×")
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", c.Line, c.Figure,
		fmt.Sprintf(c.Format, c.Ours), theirs, value, c.bound(c.Least), c.bound(c.Aim), c.verdict())
}

// bound writes Least or Aim in the unit of what is judged.
func (c Check) bound(v *float64) string {
	if v == nil {
		return ""
	}
	sign := "≥ "
	if c.Lower {
		sign = "≤ "
	}
	if c.isRatio() {
		return sign + strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", *v), "0"), ".") + " ×"
	}
	return sign + fmt.Sprintf(c.Format, *v)
}

const checkHeader = "| line | figure | mailhatch | beside | ratio | at least | aim | |\n|---|---|--:|--:|--:|--:|--:|---|\n"

// median is the middle value, or the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// medianOf is the median of one figure over the rows of one server that did not fail.
func medianOf(rows []measure.Row, server string, get func(measure.Row) float64) float64 {
	var values []float64
	for _, row := range rows {
		if row.Server == server && row.Failed == "" {
			values = append(values, get(row))
		}
	}
	return median(values)
}
