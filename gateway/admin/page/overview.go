package page

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/admin/page/plot"
	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue/engines"
)

// overview is the screen that says whether everything is well.
type overview struct {
	Notes     []note
	Figures   []figure
	Spans     []span
	Chart     template.HTML
	Points    []shownPoint // behind the chart, the newest first
	Unit      string       // of the points
	Half      string       // time from acceptance until an upstream had the mail
	Most      string
	Since     time.Time // when counting began, where that is within the chart; else zero
	Shared    bool      // other gateways have the same queue, and figures of their own
	Waits     api.QueueStatus
	Upstreams []shownUpstream
}

// figure is a number of today beside that of yesterday.
type figure struct {
	Label, Tone, Link string
	Now               int
	Unit, Small       string
	For               string // whom the messages are for
}

// span is a choice of how much the chart shows.
type span struct {
	Label, Key  string
	Here        bool
	whole, step time.Duration
	layout      string // of the labels below the chart
	every       int    // points from one label to the next
}

type shownPoint struct {
	At string
	figures.Count
}

// shownUpstream is an upstream in a row of a table.
type shownUpstream struct {
	api.Upstream
	Spark template.HTML
	Sent  int // in the last day
}

func spans() []span {
	return []span{
		{Label: "1 hour", Key: "1h", whole: time.Hour, step: time.Minute, layout: "15:04", every: 10},
		{Label: "24 hours", Key: "24h", whole: 24 * time.Hour, step: 10 * time.Minute, layout: "15:04", every: 24},
		{Label: "7 days", Key: "7d", whole: 7 * 24 * time.Hour, step: time.Hour, layout: "Mon 2", every: 24},
	}
}

func (p *Page) overview(v *view) error {
	st, err := p.cfg.Gateway.Status(v.ctx)
	if err != nil {
		return err
	}
	o := &overview{Notes: p.notes(v, st), Spans: spans(), Waits: st.Queue[envelope.Queued]}
	o.Shared = engines.Shared(p.cfg.Config().Queue.Engine)
	o.Figures = p.today(v.now, st)
	here := 0
	for i := range o.Spans {
		if o.Spans[i].Key == v.r.URL.Query().Get("span") {
			here = i
		}
	}
	o.Spans[here].Here = true
	if since := p.cfg.Figures.Since(); since.After(v.now.Add(-o.Spans[here].whole)) {
		o.Since = since
	}
	o.draw(p.cfg.Figures, &o.Spans[here])
	for _, u := range st.Upstreams {
		o.Upstreams = append(o.Upstreams, p.shown(u))
	}
	return p.show(v, http.StatusOK, "overview", "Overview", o)
}

// shown adds to an upstream what it did in the last day.
func (p *Page) shown(u api.Upstream) shownUpstream {
	if u.PausedBy != "" {
		u.State = paused
	}
	s := shownUpstream{Upstream: u}
	var values []float64
	for _, point := range p.cfg.Figures.Upstream(u.Name, 30*time.Minute) {
		values = append(values, float64(point.Sent))
		s.Sent += point.Sent
	}
	class := "sent"
	if s.Sent == 0 {
		class = "discarded"
	}
	s.Spark = plot.Spark(values, class, say.Count(s.Sent, "recipient")+" sent in 24 hours")
	return s
}

// today counts since midnight, and until the same time of yesterday.
func (p *Page) today(now time.Time, st *api.Status) []figure {
	local := now.Local()
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, local.Location())
	today := p.cfg.Figures.Between(midnight, now.Add(time.Minute))
	before := func(int) string { return "" }
	var yesterday figures.Count
	if p.cfg.Figures.Since().Before(midnight.AddDate(0, 0, -1)) {
		yesterday = p.cfg.Figures.Between(midnight.AddDate(0, 0, -1), local.AddDate(0, 0, -1))
		before = func(n int) string { return say.Number(n) + " yesterday by now" }
	}
	to, oldest := "", ""
	if today.Accepted > 0 {
		to = "for " + say.Count(today.Recipients, "recipient")
	}
	waiting := st.Queue[envelope.Queued]
	if waiting.Parts > 0 {
		oldest = "the oldest for " + say.Duration(now.Sub(waiting.Oldest).Truncate(time.Second))
	}
	return []figure{
		{"Accepted today", "accepted", "/messages?q=since:today", today.Accepted, say.Plural(today.Accepted, "message", "messages"), before(yesterday.Accepted), to},
		{"Sent today", "sent", "/messages?q=state:sent+since:today", today.Sent, say.Plural(today.Sent, "recipient", "recipients"), before(yesterday.Sent), ""},
		{"Waiting", "waits", "/messages?q=state:waits", waiting.Parts, unit(waiting.Parts), oldest, ""},
		{"Failed today", "failed", "/messages?q=state:failed", today.Failed, say.Plural(today.Failed, "recipient", "recipients"), before(yesterday.Failed), ""},
	}
}

// draw makes the chart of a span.
func (o *overview) draw(f *figures.Figures, s *span) {
	points := f.Series(s.whole, s.step)
	minutes := s.step.Minutes()
	sent, deferred, lost := plot.Series{Class: "sent"}, plot.Series{Class: "waits"}, plot.Series{Class: "failed"}
	c := &plot.Chart{Unit: "recipients a minute", None: "No mail in the last " + strings.TrimPrefix(s.Label, "1 ")}
	total := figures.Count{}
	for i, point := range points {
		at := point.At.Local()
		sent.Values = append(sent.Values, float64(point.Sent)/minutes)
		deferred.Values = append(deferred.Values, float64(point.Deferred)/minutes)
		lost.Values = append(lost.Values, float64(point.Failed)/minutes)
		label := at.Format("Mon 15:04")
		c.Titles = append(c.Titles, fmt.Sprintf("%s: %d sent, %d put off, %d failed", label, point.Sent, point.Deferred, point.Failed))
		if s.marks(i, at) {
			c.Marks = append(c.Marks, plot.Mark{Point: i, Text: at.Format(s.layout)})
		}
		total.Sent += point.Sent
		total.Deferred += point.Deferred
		total.Failed += point.Failed
		if point.Count != (figures.Count{}) {
			o.Points = append([]shownPoint{{label, point.Count}}, o.Points...)
		}
	}
	c.Series = []plot.Series{sent, deferred, lost}
	c.About = fmt.Sprintf("Recipients in the last %s: %s sent, %s put off, %s failed", strings.TrimPrefix(s.Label, "1 "), say.Number(total.Sent), say.Number(total.Deferred), say.Number(total.Failed))
	o.Chart, o.Unit = c.SVG(), say.Duration(s.step)
	if half, most, ok := f.Ages(s.whole); ok {
		o.Half, o.Most = roughly(half), roughly(most)
	}
}

// marks reports whether a point of the chart gets a label: one at a round time.
func (s *span) marks(i int, at time.Time) bool {
	switch s.every {
	case 10:
		return at.Minute()%10 == 0
	default:
		if s.whole > 24*time.Hour {
			return at.Hour() == 0 || i == 0 && at.Hour() < 18
		}
		return at.Minute() == 0 && at.Hour()%4 == 0
	}
}

// roughly writes a time that is known to within a half.
func roughly(d time.Duration) string {
	for _, unit := range []time.Duration{time.Hour, time.Minute, time.Second, 100 * time.Millisecond, 10 * time.Millisecond} {
		if d >= 5*unit {
			return "about " + say.Duration(d.Round(unit))
		}
	}
	return "about " + say.Duration(d.Round(time.Millisecond))
}
