package peers

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// panel is one diagram: figures at named places, with those of an empty queue beside them.
type panel struct {
	title, unit string
	labels      []string
	full, empty []float64
}

func (p *panel) add(label string, full, empty float64) {
	p.labels = append(p.labels, label)
	p.full = append(p.full, full)
	p.empty = append(p.empty, empty)
}

// The picture's measures, in its own pixels.
const (
	svgWidth   = 720
	svgTop     = 48  // for the headline
	svgPanel   = 260 // height of a panel with its title and labels
	svgLeft    = 70
	svgRight   = 30
	svgPlotTop = 40 // within a panel
	svgPlot    = 170
	svgTicks   = 4
)

const svgStyle = `<style>text{font:13px sans-serif;fill:#222}.h{font-size:16px;font-weight:bold}.t{font-weight:bold}.s{font-size:11px;fill:#666}` +
	`.v{stroke:#fff;stroke-width:4;paint-order:stroke}.g{stroke:#ddd}.full{fill:none;stroke:#1f5fa8;stroke-width:2.5}.empty{fill:none;stroke:#999;stroke-width:1.5;stroke-dasharray:5 4}.dot{fill:#1f5fa8}</style>`

// drawPanels puts panels one below the other.
func drawPanels(headline, foot string, panels ...panel) string {
	var b strings.Builder
	height := svgTop + svgPanel*len(panels) + 50
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", svgWidth, height, svgWidth, height)
	fmt.Fprintf(&b, "<title>%s</title>\n%s\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(headline), svgStyle)
	fmt.Fprintf(&b, `<text class="h" x="%d" y="28">%s</text>`+"\n", svgRight, html.EscapeString(headline))
	for i, p := range panels {
		p.draw(&b, svgTop+i*svgPanel)
	}
	fmt.Fprintf(&b, `<text class="s" x="%d" y="%d">Dashed: an empty queue, measured in turns.</text>`+"\n", svgRight, height-30)
	fmt.Fprintf(&b, `<text class="s" x="%d" y="%d">%s</text>`+"\n</svg>\n", svgRight, height-14, html.EscapeString(foot))
	return b.String()
}

// draw writes one panel whose upper edge is at top.
func (p panel) draw(b *strings.Builder, top int) {
	fmt.Fprintf(b, `<text class="t" x="%d" y="%d">%s</text>`+"\n", svgRight, top+20, html.EscapeString(p.title))
	highest := niceCeiling(max(maxOf(p.full), maxOf(p.empty)))
	y := func(v float64) float64 { return float64(top+svgPlotTop+svgPlot) - v/highest*svgPlot }
	for i := range svgTicks + 1 {
		v := highest * float64(i) / svgTicks
		fmt.Fprintf(b, `<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="s" x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			svgLeft, svgWidth-svgRight, y(v), y(v), svgLeft-8, y(v)+4, v)
	}
	b.WriteString(p.line("empty", p.empty, y) + p.line("full", p.full, y))
	for i, v := range p.full {
		fmt.Fprintf(b, `<circle class="dot" cx="%.1f" cy="%.1f" r="4"/><text class="v" x="%.1f" y="%.1f" text-anchor="middle">%.0f %s</text>`+"\n", p.x(i), y(v), p.x(i), y(v)-10, v, p.unit)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", p.x(i), top+svgPlotTop+svgPlot+20, html.EscapeString(p.labels[i]))
	}
}

// x is the place of a label: all have the same room.
func (p panel) x(i int) float64 {
	room := float64(svgWidth-svgLeft-svgRight) / float64(len(p.labels))
	return svgLeft + room*(float64(i)+0.5)
}

func (p panel) line(class string, values []float64, y func(float64) float64) string {
	points := make([]string, len(values))
	for i, v := range values {
		points[i] = fmt.Sprintf("%.1f,%.1f", p.x(i), y(v))
	}
	return fmt.Sprintf(`<polyline class="%s" points="%s"/>`+"\n", class, strings.Join(points, " "))
}

func maxOf(values []float64) float64 {
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	return highest
}

// niceCeiling is the end of an axis that begins at 0: 1, 2 or 4 times a power of ten, or 1.2 or 1.6 times
// one, with room for the figure above the highest point.
func niceCeiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	v *= 1.1
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8} {
		if v <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}
