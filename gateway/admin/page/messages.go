package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/find"
	"mailhatch/gateway/admin/page/fate"
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
	Older   string // address of the next page, "" for none
	Newer   string // address of the page before, "" where that is not known
	Newest  string // address of the first page, "" where this is it
	Cut     bool   // older mail of the queue was not looked at yet
	Unknown []chip // searches for the upstreams there are, where the one that was asked for is none of them
	People  []chip // searches for a word of the subject among senders and recipients
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
	Some  bool // there are more
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
	m.chips(line, listening(p.cfg.Config()))
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
	m.pages(v.r.URL.Query(), found.Next)
	m.Cut = found.Cut
	if len(m.Rows) == 0 && line.Upstream != "" {
		return p.otherUpstreams(v, m, line)
	}
	return nil
}

// otherUpstreams leads from an upstream that there is not to those that there are.
func (p *Page) otherUpstreams(v *view, m *messages, line *search.Line) error {
	names, err := p.upstreamNames(v)
	if err != nil || slices.Contains(names, line.Upstream) {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(line.Words), func(w search.Word) bool { return w.Name == "upstream" })
	for _, name := range names {
		m.Unknown = append(m.Unknown, chip{Label: name, URL: listAddress(append(slices.Clone(others), search.Word{Name: "upstream", Value: name}))})
	}
	return nil
}

const (
	maxTrail   = 100 // pages that links lead back over
	trailComma = "~" // between the places of a trail; they have none
	trailEnd   = "-" // stands for all places before
)

// pages makes the links to other pages of a list. Pages are found by the place they begin at (keyset), and lists are read in one
// direction: the address of a page has the places of those before it, the nearest first.
func (m *messages) pages(q url.Values, next string) {
	address := func(after string, trail []string) string {
		q := url.Values{}
		for key, value := range map[string]string{"q": m.Line, "after": after, "trail": strings.Join(trail, trailComma)} {
			if value != "" {
				q.Set(key, value)
			}
		}
		return (&url.URL{Path: "/messages", RawQuery: q.Encode()}).String()
	}
	here := q.Get("after")
	var trail []string
	if t := q.Get("trail"); t != "" {
		trail = strings.Split(t, trailComma)
	}
	if here == "" {
		if next != "" {
			m.Older = address(next, nil)
		}
		return
	}
	if next != "" {
		longer := append([]string{here}, trail...)
		if len(longer) > maxTrail {
			longer = append(longer[:maxTrail], trailEnd)
		}
		m.Older = address(next, longer)
	}
	m.Newest = address("", nil)
	switch {
	case len(trail) == 0:
		m.Newer = m.Newest
	case trail[0] != trailEnd:
		m.Newer = address(trail[0], trail[1:])
	}
}

// rowOf shows a message that was found.
func rowOf(f *find.Message, why *waiting.View) row {
	r := row{ID: f.ID, At: f.At, More: -1}
	worst := 0 // weight of the state that the words are of
	recipient := func(s envelope.State, to, upstream, words string) {
		if r.add(s); r.To == "" {
			r.To = mime.AddressText(to)
		}
		r.More++
		if upstream != "" && !slices.Contains(r.Upstreams, upstream) {
			r.Upstreams = append(r.Upstreams, upstream)
		}
		if w := fate.Weight(s); s != envelope.Sent && (r.Words == "" || w < worst) {
			r.Words, r.Bad, worst = words, s == envelope.Failed || s == envelope.Bounced || s == envelope.Complained, w
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
	inQueue := r.More + 1
	for i := range f.Records {
		rec := &f.Records[i]
		if f.Waiting == nil {
			r.From, r.Subject = sender(rec.From), rec.Header.Subject
		}
		recipient(rec.State, rec.Recipient.Address, rec.Upstream, rec.Error)
	}
	if m := f.Waiting; m != nil && len(m.Envelope.To) > inQueue+len(f.Records) { // their records were not all read
		r.More = len(m.Envelope.To) - 1
		for i := range r.States {
			r.States[i].Some = slices.ContainsFunc(f.Records, func(rec queue.Record) bool { return rec.State == r.States[i].State })
		}
	}
	return r
}

// add counts a recipient; what needs attention stands first.
func (r *row) add(s envelope.State) {
	if i := slices.IndexFunc(r.States, func(c stateCount) bool { return c.State == s }); i >= 0 {
		r.States[i].Count++
		return
	}
	r.States = append(r.States, stateCount{State: s, Count: 1})
	slices.SortFunc(r.States, func(a, b stateCount) int { return fate.Weight(a.State) - fate.Weight(b.State) })
}

// listAddress is the address of a search.
func listAddress(words []search.Word) string {
	if len(words) == 0 {
		return "/messages"
	}
	return "/messages?q=" + url.QueryEscape(search.Join(words))
}

// chips are the filters in force, each with the list without it, and those of the states; of what providers tell later where one does.
func (m *messages) chips(line *search.Line, told bool) {
	for i, w := range line.Words {
		if w.Name == "subject" && line.From+line.To == "" && !strings.Contains(w.Value, " ") {
			for _, name := range []string{"to", "from"} {
				words := slices.Clone(line.Words)
				words[i].Name = name
				m.People = append(m.People, chip{Label: name + ":" + w.Value, URL: listAddress(words)})
			}
		}
		if w.Name != "state" {
			m.Chips = append(m.Chips, chip{Label: w.Name + ": " + w.Value, URL: listAddress(slices.Delete(slices.Clone(line.Words), i, i+1))})
		}
	}
	others := slices.DeleteFunc(slices.Clone(line.Words), func(w search.Word) bool { return w.Name == "state" })
	m.States = []chip{{Label: "All", URL: listAddress(others), Here: line.State == ""}}
	for _, s := range envelope.States() {
		if s.IsSent() && s != envelope.Sent && !told && line.State != string(s) {
			continue
		}
		words := append(slices.Clone(others), search.Word{Name: "state", Value: string(s)})
		label := stateWord(s)
		m.States = append(m.States, chip{Label: strings.ToUpper(label[:1]) + label[1:], URL: listAddress(words), Here: line.State == string(s), State: s})
	}
}
