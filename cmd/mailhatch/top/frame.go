package top

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
)

// line is one line of a frame.
type line struct {
	text  string // as others wrote it: it is made harmless when it is shown
	style string // of the whole line; "": plain
}

// The styles are those of ECMA-48 8.3.117.
const (
	bold  = "1"
	red   = "31"
	faint = "2"
)

// view is what a frame shows.
type view struct {
	status *api.Status
	events []api.Event
	track  track
	err    error // of the last look; what is shown is older then
	now    time.Time
	live   bool
}

// frame lays out what is known, for so many columns and lines; 0: as many as it takes.
func (v *view) frame(width, height int) []line {
	list := v.head()
	list = append(list, v.counts(), v.queue(), line{})
	table := upstreamTable(v, width)
	if height > 0 {
		// Upstreams go before events, of which three are shown where there is room.
		room := max(4, height-len(list)-4)
		if len(table) > room {
			rest := 0
			for _, l := range table[room-1:] {
				if !strings.HasPrefix(l.text, " ") {
					rest++
				}
			}
			table = append(table[:room-1:room-1], line{text: fmt.Sprintf("… and %d more", rest), style: faint})
		}
	}
	list = append(list, table...)
	room := len(v.events)
	if height > 0 {
		room = min(room, max(0, height-len(list)-1))
	}
	if room > 0 {
		list = append(list, line{})
		for _, e := range v.events[len(v.events)-room:] {
			list = append(list, eventLine(&e))
		}
	}
	if height > 0 && len(list) > height {
		list = list[:height]
	}
	return list
}

// head says what runs, and what is not well.
func (v *view) head() []line {
	s := v.status
	title := fmt.Sprintf("mailhatch %s on %s, running for %s", s.Version, s.Hostname, terminal.Ago(s.Started))
	if v.live {
		title += ", " + terminal.Clock(v.now) + "; q ends"
	}
	list := []line{{text: title, style: bold}}
	if v.err != nil {
		list = append(list, line{text: "no answer: " + v.err.Error(), style: red})
	}
	for _, reason := range s.NotReady {
		list = append(list, line{text: "not ready: " + reason, style: red})
	}
	for _, note := range s.Store.Notes {
		list = append(list, line{text: "store: " + note, style: red})
	}
	return append(list, line{})
}

// counts says what became of mail in the last minute or, in a snapshot, since the start.
func (v *view) counts() line {
	c, when := counts{}, "since the start"
	if n := len(v.track); n > 0 {
		c = v.track[n-1].all
	}
	if v.live {
		c, when = v.track.perMinute(func(t *tally) counts { return t.all }), "a minute"
		if !v.track.known() {
			return line{text: "accepted -, sent -, deferred -, failed - a minute"}
		}
	}
	l := line{text: fmt.Sprintf("accepted %s, sent %s, deferred %s, failed %s %s", number(c.accepted), number(c.sent), number(c.deferred), number(c.failed), when)}
	if c.failed > 0 && v.live {
		l.style = bold
	}
	return l
}

// number formats a rate.
func number(f float64) string {
	if f > 0 && f < 9.95 && f != math.Trunc(f) {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(math.Round(f), 'f', 0, 64)
}

// queue says what waits.
func (v *view) queue() line {
	var list []string
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		q := v.status.Queue[state]
		text := fmt.Sprintf("%d %s", q.Parts, state)
		if q.Parts > 0 {
			text += fmt.Sprintf(" (%s, oldest %s)", terminal.Size(q.Bytes), terminal.Ago(q.Oldest))
		}
		list = append(list, text)
	}
	l := line{text: "in the queue: " + strings.Join(list, ", ")}
	if d := v.status.Maildrop; d != nil && d.Messages > 0 {
		l.text += fmt.Sprintf("; in the maildrop: %d (oldest %s)", d.Messages, terminal.Ago(d.Oldest))
	}
	return l
}

// column is one of the table of upstreams.
type column struct {
	head  string
	rank  int // the highest give way first when room is short
	right bool
	cell  func(u *api.Upstream) string
}

func columns(v *view) []column {
	of := func(u *api.Upstream) counts {
		return v.track.perMinute(func(t *tally) counts { return t.by[u.Name] })
	}
	list := []column{
		{"UPSTREAM", 0, false, func(u *api.Upstream) string { return cmp.Or(u.Name, "(none)") }},
		{"STATE", 0, false, func(u *api.Upstream) string {
			if u.PausedBy != "" {
				return "paused"
			}
			return cmp.Or(u.State, "-")
		}},
		{"QUEUED", 1, true, func(u *api.Upstream) string { return strconv.Itoa(u.Queued) }},
		{"IN FLIGHT", 3, true, func(u *api.Upstream) string {
			if u.MaxConcurrent == 0 {
				return strconv.Itoa(u.InFlight)
			}
			return fmt.Sprintf("%d/%d", u.InFlight, u.MaxConcurrent)
		}},
		{"RATE", 5, true, func(u *api.Upstream) string {
			return cmp.Or(u.RateText(), "-")
		}},
	}
	if v.live {
		list = append(list,
			column{"SENT/MIN", 2, true, func(u *api.Upstream) string { return number(of(u).sent) }},
			column{"DEFERRED/MIN", 6, true, func(u *api.Upstream) string { return number(of(u).deferred) }},
			column{"P50", 4, true, func(u *api.Upstream) string { return seconds(v.track.quantile(u.Name, .5)) }},
			column{"P99", 7, true, func(u *api.Upstream) string { return seconds(v.track.quantile(u.Name, .99)) }})
	}
	return append(list, column{"QUOTA LEFT", 8, false, func(u *api.Upstream) string {
		var left []string
		for _, q := range u.Quota {
			left = append(left, fmt.Sprintf("%d of %s", q.Left, q.Limit))
		}
		return cmp.Or(strings.Join(left, ", "), "-")
	}})
}

// seconds formats the upper bound of a time.
func seconds(s float64) string {
	switch {
	case s == 0:
		return "-"
	case math.IsInf(s, 1):
		return "long"
	case s < 1:
		return fmt.Sprintf("%.0f ms", math.Ceil(s*1000))
	}
	return fmt.Sprintf("%.1f s", s)
}

// gap is between two columns, in characters.
const gap = 2

// upstreamTable lays out the upstreams, with as many columns as there is room for, and below each one that is not open why.
func upstreamTable(v *view, width int) []line {
	if len(v.status.Upstreams) == 0 {
		return nil
	}
	all := columns(v)
	widths := make([]int, len(all))
	total := -gap
	for i, c := range all {
		widths[i] = utf8.RuneCountInString(c.head)
		for j := range v.status.Upstreams {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.cell(&v.status.Upstreams[j])))
		}
		total += widths[i] + gap
	}
	for width > 0 && total > width {
		last := -1
		for i, c := range all {
			if widths[i] > 0 && c.rank > 0 && (last < 0 || c.rank > all[last].rank) {
				last = i
			}
		}
		if last < 0 {
			break
		}
		total -= widths[last] + gap
		widths[last] = 0
	}
	row := func(cell func(c *column) string) string {
		var b strings.Builder
		for i := range all {
			text := cell(&all[i])
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text)))
			switch {
			case widths[i] == 0:
				continue
			case all[i].right:
				text = pad + text
			default:
				text += pad
			}
			b.WriteString(text + strings.Repeat(" ", gap))
		}
		return strings.TrimRight(b.String(), " ")
	}
	list := []line{{text: row(func(c *column) string { return c.head }), style: bold}}
	for i := range v.status.Upstreams {
		u := &v.status.Upstreams[i]
		l := line{text: row(func(c *column) string { return c.cell(u) })}
		note := whyNot(u)
		if note != "" {
			l.style = red
		}
		list = append(list, l)
		if note != "" {
			list = append(list, line{text: "    " + note, style: red})
		}
	}
	return list
}

// whyNot says why an upstream gets no mail; "" where it does.
func whyNot(u *api.Upstream) string {
	switch {
	case u.PausedBy != "", len(u.Refuses) > 0 && u.State == "open":
		return u.Why
	case u.State == "" || u.State == "open":
		return ""
	}
	return fmt.Sprintf("%s; for %s (%s)", cmp.Or(u.Why, u.State), terminal.Ago(u.Since), u.Reason)
}

// eventLine is one of the last events.
func eventLine(e *api.Event) line {
	name := e.Name
	if e.By != "" { // what was done comes first where there is little room
		name = e.Action + " by " + e.By
	}
	words := []string{terminal.Clock(e.At), fmt.Sprintf("%-15s", name)}
	for _, w := range []string{e.ID, e.Upstream, e.Class} {
		if w != "" {
			words = append(words, w)
		}
	}
	if e.Recipients > 1 {
		words = append(words, fmt.Sprintf("%d recipients", e.Recipients))
	}
	l := line{text: strings.Join(words, " ")}
	if e.Error != "" {
		l.text += ": " + e.Error
	}
	switch e.Name {
	case "failed", "upstream_closed", "sender_refused", "internal_error", "reload_refused":
		l.style = red
	case "accepted", "sent":
		l.style = faint
	}
	return l
}
