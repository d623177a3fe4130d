package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// wellFormed reads all of an SVG as XML and returns its texts.
func wellFormed(t *testing.T, svg string) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	var texts strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts.String()
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
		if c, ok := token.(xml.CharData); ok {
			texts.Write(c)
			texts.WriteByte('\n')
		}
	}
}

func TestChart(t *testing.T) {
	c := Chart{
		Series: []Series{{Class: "sent", Values: []float64{0, 1, 2.5, 130}}, {Class: "failed", Values: make([]float64, 4)}},
		Marks:  []Mark{{0, "12:00"}, {3, "12:03"}},
		Titles: []string{"12:00 0 sent", "12:01 <1> sent", "12:02", "12:03"},
		Unit:   "a minute", None: "No mail", About: `sent & "failed"`,
	}
	svg := string(c.SVG())
	texts := wellFormed(t, svg)
	for _, want := range []string{"100\n", "200 a minute\n", "12:00\n", "12:01 <1> sent\n"} {
		if !strings.Contains(texts, want) {
			t.Errorf("no text %q in %q", want, texts)
		}
	}
	if !strings.Contains(svg, `class="sent"`) || strings.Contains(svg, `class="failed"`) {
		t.Error("a series of zeros is drawn, or the other is not")
	}
	if strings.Contains(texts, "No mail") {
		t.Error("there is mail, and it says that there is none")
	}
	none := Chart{Series: []Series{{Values: []float64{0, 0}}}, Titles: []string{"a", "b"}, None: "No mail"}
	if texts := wellFormed(t, string(none.SVG())); !strings.Contains(texts, "No mail\n") {
		t.Errorf("without mail there is %q", texts)
	}
	for _, c := range []Chart{{}, {Titles: []string{"one"}, Series: []Series{{Values: []float64{3}}}}} {
		if svg := string(c.SVG()); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Error(svg)
		} else {
			wellFormed(t, svg)
		}
	}
}

// TestNice: a scale ends above its values, and is used for more than a third.
func TestNice(t *testing.T) {
	for v := 0.1; v < 1e7; v *= 1.07 {
		top := nice(v)
		if top < v || v > 2 && top > 2.6*v || strings.Contains(number(top/2), ".") {
			t.Errorf("%v ends at %v", v, top)
		}
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{2: "2", 500: "500", 1000: "1,000", 40000: "40,000", 2e6: "2,000,000"} {
		if got := thousands(v); got != want {
			t.Errorf("%v is %s", v, got)
		}
	}
}

func TestSpark(t *testing.T) {
	for _, values := range [][]float64{nil, {0, 0}, {1}, {0, 5, 0}} {
		svg := string(Spark(values, "sent", "<sent>"))
		if wellFormed(t, svg); strings.Contains(svg, "NaN") {
			t.Error(svg)
		}
	}
}

func TestStrip(t *testing.T) {
	for want, spans := range map[string][]bool{"": nil, "M0 4H1": {true}, "M1 4H3": {false, true, true}, "M0 4H1 M2 4H3": {true, false, true, false}} {
		svg := string(Strip(spans, "<closed>"))
		wellFormed(t, svg)
		for _, path := range strings.SplitAfter(want, " M") {
			if path = strings.TrimSuffix(path, " M"); path != "" && !strings.Contains(svg, strings.TrimPrefix(path, "M")) {
				t.Errorf("%v: no %q in %s", spans, path, svg)
			}
		}
		if n := strings.Count(svg, "failed"); n != strings.Count(want, "M") {
			t.Errorf("%v: %d marks", spans, n)
		}
	}
}
