package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/find"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// perPage is how many messages a page of the list has.
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
	Cut     bool   // older mail of the queue was not looked at yet
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
	States   []stateCount
	At       time.Time
	Words    string // why it waits, or what went wrong
	Bad      bool   // it went wrong for good

	Upstreams []string
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
	found, err := find.Messages(v.ctx, p.cfg.Gateway, line, v.r.URL.Query().Get("after"), perPage)
	if err != nil {
		return err
	}
	var list []queue.Message
	for i := range found.Messages {
		if w := found.Messages[i].Waiting; w != nil {
			list = append(list, *w)
		}
	}
	why, err := p.cfg.Gateway.Waiting(v.ctx, list)
	if err != nil {
		return err
	}
	for i := range found.Messages {
		m.Rows = append(m.Rows, rowOf(&found.Messages[i], why))
	}
	address := func(after string) string {
		q := url.Values{}
		if m.Line != "" {
			q.Set("q", m.Line)
		}
		if after != "" {
			q.Set("after", after)
		}
		return (&url.URL{Path: "/messages", RawQuery: q.Encode()}).String()
	}
	if found.Next != "" {
		m.More = address(found.Next)
	}
	if v.r.URL.Query().Has("after") {
		m.Newest = address("")
	}
	m.Cut = found.Cut
	return nil
}

// rowOf shows a message that was found.
func rowOf(f *find.Message, why *waiting.View) row {
	r := row{ID: f.ID, At: f.At, More: -1}
	recipient := func(s envelope.State, to, upstream, words string) {
		if r.add(s); r.To == "" {
			r.To = mime.AddressText(to)
		}
		r.More++
		if upstream != "" && !slices.Contains(r.Upstreams, upstream) {
			r.Upstreams = append(r.Upstreams, upstream)
		}
		if s != envelope.Sent && r.Words == "" {
			r.Words, r.Bad = words, s == envelope.Failed
		}
	}
	if m := f.Waiting; m != nil {
		r.From, r.Subject = sender(m.Envelope.From), m.Header.Subject
		for i := range m.Parts {
			part := &m.Parts[i]
			for _, to := range part.To {
				recipient(part.State, to.Address, part.Lane, why.Of(m, part).Words)
			}
		}
	}
	for i := range f.Records {
		rec := &f.Records[i]
		if f.Waiting == nil {
			r.From, r.Subject = sender(rec.From), rec.Header.Subject
		}
		recipient(rec.State, rec.Recipient.Address, rec.Upstream, rec.Error)
	}
	return r
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
	return slices.Index([]envelope.State{envelope.Failed, envelope.Held, envelope.Queued, envelope.Sent, envelope.Discarded, envelope.Refused}, s)
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
	for _, s := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed, envelope.Sent, envelope.Discarded, envelope.Refused} {
		words := append(slices.Clone(others), search.Word{Name: "state", Value: string(s)})
		label := stateWord(s)
		m.States = append(m.States, chip{Label: strings.ToUpper(label[:1]) + label[1:], URL: address(words), Here: line.State == string(s), State: s})
	}
}
