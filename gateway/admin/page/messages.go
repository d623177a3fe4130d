package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// perPage is how many recipients a page of the list has.
const perPage = 50

// messages is the screen that lists mail.
type messages struct {
	Line    string
	Wrong   string // why the line was not understood
	Chips   []chip
	States  []chip
	Rows    []row
	More    string // address of the next page, "" for none
	Newest  string // address of the first page, "" where this is it
	Catcher bool
	SMTP    string
	All     bool // nothing narrows the list
}

// chip is a filter in force, or one that can be.
type chip struct {
	Label, URL string
	Here       bool
	State      envelope.State
}

// row is a message, as far as it was found.
type row struct {
	ID       string
	From, To string
	More     int // further recipients
	Subject  string
	Upstream string
	States   []stateCount
	At       time.Time
	Error    string
}

type stateCount struct {
	State envelope.State
	Count int
}

func (p *Page) messages(v *view) error {
	q := v.r.URL.Query()
	m := &messages{Line: q.Get("q"), Catcher: p.isCatcher()}
	if p.cfg.SMTP != nil {
		m.SMTP = p.cfg.SMTP()
	}
	line, err := search.Parse(m.Line, v.now)
	if err != nil {
		m.Wrong = err.Error()
		line = &search.Line{}
	}
	m.All = len(line.Words) == 0 && m.Wrong == ""
	m.chips(line)
	if m.Wrong == "" {
		if err := p.find(v, m, line); err != nil {
			return err
		}
	}
	return p.show(v, http.StatusOK, "messages", "Messages", m)
}

// find fills the list.
func (p *Page) find(v *view, m *messages, line *search.Line) error {
	log, err := p.cfg.Gateway.Log(v.ctx, admin.LogFilter{ID: line.ID, From: within(line.From), To: within(line.To), Since: line.Since, Limit: perPage})
	if err != nil {
		return err
	}
	m.Rows = rowsOf(log.Entries)
	return nil
}

// within makes a pattern of a part of an address.
func within(s string) string {
	if s == "" || strings.ContainsAny(s, "*?") {
		return s
	}
	return "*" + s + "*"
}

// rowsOf puts the recipients of a message together, in the order of the newest.
func rowsOf(entries []admin.Entry) []row {
	var rows []row
	index := map[string]int{}
	for i := range entries {
		e := &entries[i]
		n, ok := index[e.ID]
		if !ok {
			n = len(rows)
			index[e.ID] = n
			rows = append(rows, row{ID: e.ID, From: sender(e.From), To: mime.AddressText(e.To), Subject: e.Header.Subject, Upstream: e.Upstream, At: e.At, More: -1})
		}
		r := &rows[n]
		r.More++
		r.add(e.State)
		if e.Upstream != r.Upstream && !strings.Contains(r.Upstream, e.Upstream) {
			r.Upstream += ", " + e.Upstream
		}
		if e.State != envelope.Sent && r.Error == "" {
			r.Error = e.Error
		}
	}
	return rows
}

// add counts a recipient; what needs attention stands first.
func (r *row) add(s envelope.State) {
	if i := slices.IndexFunc(r.States, func(c stateCount) bool { return c.State == s }); i >= 0 {
		r.States[i].Count++
		return
	}
	r.States = append(r.States, stateCount{s, 1})
	slices.SortFunc(r.States, func(a, b stateCount) int { return weight(a.State) - weight(b.State) })
}

func weight(s envelope.State) int {
	return slices.Index([]envelope.State{envelope.Failed, envelope.Held, envelope.Queued, envelope.Sent, envelope.Discarded}, s)
}

// chips are the filters in force, each with the list without it, and those of the states.
func (m *messages) chips(line *search.Line) {
	address := func(words []search.Word) string {
		if len(words) == 0 {
			return "/messages"
		}
		return "/messages?q=" + url.QueryEscape(search.Join(words))
	}
	for i, w := range line.Words {
		if w.Name != "state" {
			m.Chips = append(m.Chips, chip{Label: w.Name + ": " + w.Value, URL: address(slices.Delete(slices.Clone(line.Words), i, i+1))})
		}
	}
	others := slices.DeleteFunc(slices.Clone(line.Words), func(w search.Word) bool { return w.Name == "state" })
	m.States = []chip{{Label: "All", URL: address(others), Here: line.State == ""}}
	for _, s := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed, envelope.Sent, envelope.Discarded} {
		words := append(slices.Clone(others), search.Word{Name: "state", Value: string(s)})
		label := stateWord(s)
		m.States = append(m.States, chip{Label: strings.ToUpper(label[:1]) + label[1:], URL: address(words), Here: line.State == string(s), State: s})
	}
}
