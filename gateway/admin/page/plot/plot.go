// Package plot draws counts over time as SVG that a page shows as it is: no script, colours from its stylesheet.
package plot

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Series is one line of a chart with the area below it.
type Series struct {
	Class  string // of the stylesheet: it has the colour
	Values []float64
}

// Mark is a label below a point of a chart.
type Mark struct {
	Point int
	Text  string
}

// Chart is series of equally many points. Later series are drawn above earlier ones.
type Chart struct {
	Series []Series
	Marks  []Mark
	Titles []string // of each point, shown where the pointer is
	Unit   string   // of the values
	About  string   // what it shows, for those who do not see it
	None   string   // what it says where all values are zero
}

// A chart is as wide as its place, and so are its curves; its texts stay as they are. Heights are pixels.
const (
	width  = 1000 // of the curves, in units of their own
	height = 180  // of the curves
	top    = 20   // above them, for the number of the highest line
	bottom = 24   // below them, for the marks
)

// SVG draws the chart.
func (c *Chart) SVG() template.HTML {
	var b strings.Builder
	n := len(c.Titles)
	ceiling := nice(c.highest())
	x := func(i int) float64 { return float64(i) * width / float64(max(1, n-1)) }
	y := func(v float64) float64 { return height * (1 - v/ceiling) }
	fmt.Fprintf(&b, `<svg class="plot" height="%d" role="img" aria-label="%s">`, top+height+bottom, template.HTMLEscapeString(c.About))
	for _, share := range []float64{0, .5, 1} {
		fmt.Fprintf(&b, `<line class="grid" x2="100%%" y1="%[1]s" y2="%[1]s"/>`, number(top+y(ceiling*share)))
	}
	fmt.Fprintf(&b, `<svg y="%d" width="100%%" height="%d" viewBox="0 0 %d %[2]d" preserveAspectRatio="none">`, top, height, width)
	for _, s := range c.Series {
		if line := path(s.Values, x, y); line != "" {
			fmt.Fprintf(&b, `<g class="%s"><path class="area" d="%sL%s %dL0 %[4]dZ"/><path class="line" d="%s"/></g>`,
				template.HTMLEscapeString(s.Class), line, number(x(n-1)), height, strokes(s.Values, x, y))
		}
	}
	step := width / float64(max(1, n-1))
	for i, title := range c.Titles {
		fmt.Fprintf(&b, `<rect x="%s" width="%s" height="%d"><title>%s</title></rect>`, number(x(i)-step/2), number(step), height, template.HTMLEscapeString(title))
	}
	b.WriteString("</svg>")
	fmt.Fprintf(&b, `<text y="%d">%s %s</text><text y="%s">%s</text>`, top-5, thousands(ceiling), template.HTMLEscapeString(c.Unit), number(top+y(ceiling/2)-5), thousands(ceiling/2))
	if c.highest() == 0 {
		fmt.Fprintf(&b, `<text x="50%%" y="%d" text-anchor="middle">%s</text>`, top+height/4, template.HTMLEscapeString(c.None))
	}
	for _, m := range c.Marks {
		at, anchor := x(m.Point)*100/width, "middle"
		switch {
		case at < 5:
			anchor = "start"
		case at > 95:
			anchor = "end"
		}
		fmt.Fprintf(&b, `<text x="%s%%" y="%d" text-anchor="%s">%s</text>`, number(at), top+height+bottom-5, anchor, template.HTMLEscapeString(m.Text))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // all texts are escaped
}

// thousands writes a number of the scale, which has no fraction: 12,000.
func thousands(v float64) string {
	s := number(v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func (c *Chart) highest() float64 {
	most := 0.0
	for _, s := range c.Series {
		for _, v := range s.Values {
			most = max(most, v)
		}
	}
	return most
}

// path draws a line through values; "" where all are zero.
func path(values []float64, x func(int) float64, y func(float64) float64) string {
	var b strings.Builder
	some := false
	for i, v := range values {
		some = some || v != 0
		// A point between two of its own height adds nothing.
		if i > 0 && i < len(values)-1 && values[i-1] == v && values[i+1] == v {
			continue
		}
		b.WriteByte("ML"[min(i, 1)])
		b.WriteString(number(x(i)) + " " + number(y(v)))
	}
	if !some {
		return ""
	}
	return b.String()
}

// strokes draws the line of values where it is above zero.
func strokes(values []float64, x func(int) float64, y func(float64) float64) string {
	var b strings.Builder
	down := false // the pen
	for i := 1; i < len(values); i++ {
		if values[i-1] == 0 && values[i] == 0 {
			down = false
			continue
		}
		if !down {
			b.WriteString("M" + number(x(i-1)) + " " + number(y(values[i-1])))
		}
		b.WriteString("L" + number(x(i)) + " " + number(y(values[i])))
		down = true
	}
	return b.String()
}

// nice returns a round number that is not below v, for the top of a scale whose half is round as well.
func nice(v float64) float64 {
	if v <= 2 {
		return 2
	}
	size := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 6, 8} {
		if m*size >= v {
			return m * size
		}
	}
	return 10 * size
}

// number writes v with at most one decimal.
func number(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// Spark draws values as a small line of 120 by 24 without axes.
func Spark(values []float64, class, about string) template.HTML {
	most := 1.0
	for _, v := range values {
		most = max(most, v)
	}
	x := func(i int) float64 { return 1 + 118*float64(i)/float64(max(1, len(values)-1)) }
	y := func(v float64) float64 { return 22 - 20*v/most }
	line := path(values, x, y)
	if line == "" {
		line = "M1 22H119"
	}
	return template.HTML(fmt.Sprintf(`<svg class="spark %s" viewBox="0 0 120 24" role="img" aria-label="%s"><path class="line" d="%s"/></svg>`, //nolint:gosec // all texts are escaped
		template.HTMLEscapeString(class), template.HTMLEscapeString(about), line))
}

// Strip draws for each span of time whether something was so in it, as a line of marks.
func Strip(spans []bool, about string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark strip" viewBox="0 0 %d 8" preserveAspectRatio="none" role="img" aria-label="%s"><path class="grid" d="M0 4H%[1]d"/>`, max(1, len(spans)), template.HTMLEscapeString(about))
	for i := 0; i < len(spans); i++ {
		from := i
		for i < len(spans) && spans[i] {
			i++
		}
		if i > from {
			fmt.Fprintf(&b, `<path class="failed" d="M%d 4H%d"/>`, from, i)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // all texts are escaped
}
