package page

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mailhatch/gateway/admin/page/fate"
	"mailhatch/gateway/admin/page/letter"
	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// message is the screen of one message.
type message struct {
	ID       string
	Did      string // what was done to it just now
	Sender   string // of the envelope, where the From field does not name it
	Header   queue.Summary
	Envelope envelope.Envelope
	Size     int64
	Fates    []fate.Group
	Total    int  // recipients
	Some     bool // not all of them are shown
	Tabs     []chip
	Tab      string
	Kept     bool  // its contents can be read
	Waiting  bool  // something of it is in the queue
	ways     []way // by which it goes, or went
	fates    []fate.Fate
	States   map[string]int // recipients

	Timeline []fate.Step
	Requests []request
	Why      string // address of what decides the way of such a message
	Text     []letter.Piece
	Cut      bool // the text is only the start
	Fields   []letter.Field
	Raw      string
	Files    []letter.File
	Parts    []string
	HTML     bool
	Fetches  int // addresses that its HTML would have fetched
	Remote   bool
}

// way is an upstream and the recipients that it has the message for.
type way struct {
	upstream string
	to       []envelope.Recipient
}

// message shows one message, which may be in the queue or gone.
func (p *Page) message(v *view) error {
	m, err := p.known(v)
	if err != nil {
		return err
	}
	l, done, err := p.open(v)
	switch {
	case err == nil:
		defer done()
		m.Kept = true
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	m.tabs(v.r.URL.Query().Get("tab"), l, p.isCatcher())
	if err := m.read(v, l); err != nil {
		return err
	}
	if m.Tab == "request" {
		p.render(v, m)
	}
	m.Did = didThis(v.r.URL.Query().Get("did"))
	title := m.Header.Subject
	if title == "" {
		title = "Message " + m.ID
	}
	return p.show(v, http.StatusOK, "message", say.Clip(title, 80), m)
}

// id returns the id of the message that the address names.
func (v *view) id() (string, error) {
	n, ok := queue.ParseID(v.r.PathValue("id"))
	if !ok {
		return "", queue.ErrNotFound
	}
	return queue.FormatID(n), nil
}

// known collects what is known of a message.
func (p *Page) known(v *view) (*message, error) {
	id, err := v.id()
	if err != nil {
		return nil, err
	}
	m := &message{ID: id, States: map[string]int{}}
	list, err := p.cfg.Gateway.List(v.ctx, queue.Filter{IDs: []string{id}}, queue.Page{})
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		if err := p.waits(v, m, list); err != nil {
			return nil, err
		}
	} else {
		gone, err := p.cfg.Gateway.Finished(v.ctx, id)
		if err != nil {
			return nil, err
		}
		m.Header, m.Envelope, m.Size = gone.Header, gone.Envelope, gone.Size
		if gone.Fields != nil {
			m.Fields = letter.Header(gone.Fields)
		}
	}
	records, err := p.cfg.Gateway.Search(v.ctx, queue.HistoryFilter{ID: id, Limit: maxRecords})
	if err != nil {
		return nil, err
	}
	for i := range slices.Backward(records) { // they are the newest first
		r := &records[i]
		m.goes(r.Upstream, r.Recipient)
		m.add(fate.Of(r, m.Envelope.Received))
	}
	m.Fates, m.Total, m.Some = fate.Together(m.fates), len(m.fates), len(records) == maxRecords
	events, err := p.cfg.Gateway.Events(v.ctx, id)
	if err != nil {
		return nil, err
	}
	m.Timeline = fate.Timeline(&m.Envelope, events, records)
	m.Why = why(&m.Envelope)
	if m.Header.From != "" && !strings.Contains(m.Header.From, m.Envelope.From) || m.Envelope.From == "" {
		m.Sender = sender(m.Envelope.From)
	}
	return m, nil
}

// why is the address that shows which route decides about mail with an envelope.
func why(env *envelope.Envelope) string {
	q := url.Values{"from": {"<" + env.From + ">"}}
	var to []string
	for _, r := range env.To[:min(len(env.To), 5)] {
		to = append(to, r.Address)
	}
	q.Set("to", strings.Join(to, " "))
	if env.Client.Addr.IsValid() {
		q.Set("client", env.Client.Addr.String())
	}
	if env.Client.User != "" {
		q.Set("user", env.Client.User)
	}
	return "/routes?" + q.Encode()
}

// maxRecords is how many recipients of one message are shown.
const maxRecords = 5000

// waits fills in what is known of a message in the queue.
func (p *Page) waits(v *view, m *message, list []queue.Message) error {
	why, err := p.cfg.Gateway.Waiting(v.ctx, list)
	if err != nil {
		return err
	}
	w := &list[0]
	m.Waiting, m.Header, m.Envelope, m.Size = true, w.Header, w.Envelope, w.Size
	for i := range w.Parts {
		part := &w.Parts[i]
		reason := why.Of(w, part)
		small := ""
		if !strings.Contains(reason.Words, strings.TrimRight(part.Progress.Error, ".")) {
			small = part.Progress.Error
		}
		words := reason.Words
		if part.State == envelope.Queued && part.Lane != "" && !strings.Contains(words, part.Lane) {
			words = "for " + part.Lane + ": " + words
		}
		m.goes(part.Lane, part.To...)
		for j := range part.To {
			m.add(fate.Fate{To: mime.AddressText(part.To[j].Address), Given: fate.Given(&part.To[j]), State: part.State, Upstream: part.Lane, Words: words, Small: small})
		}
	}
	return nil
}

// goes notes which upstream has the message for whom.
func (m *message) goes(upstream string, to ...envelope.Recipient) {
	if upstream == "" {
		return
	}
	i := slices.IndexFunc(m.ways, func(w way) bool { return w.upstream == upstream })
	if i < 0 {
		i = len(m.ways)
		m.ways = append(m.ways, way{upstream: upstream})
	}
	m.ways[i].to = append(m.ways[i].to, to...)
}

func (m *message) add(f fate.Fate) {
	m.States[string(f.State)]++
	m.fates = append(m.fates, f)
}

// open reads the contents of a message. done ends that.
func (p *Page) open(v *view) (l *letter.Letter, done func(), err error) {
	body, err := p.body(v)
	if err != nil {
		return nil, nil, err
	}
	if l, err = letter.Read(body); err != nil {
		_ = body.Close()
		return nil, nil, err
	}
	return l, func() { _ = body.Close() }, nil
}

func (p *Page) body(v *view) (queue.Body, error) {
	id, err := v.id()
	if err != nil {
		return nil, err
	}
	return p.cfg.Gateway.Body(v.ctx, id)
}

// tabs chooses what is shown: what was asked for, or else the timeline; to somebody who caught the mail, the mail.
func (m *message) tabs(asked string, l *letter.Letter, caught bool) {
	names := []string{"timeline"}
	if l != nil {
		m.HTML = l.HasHTML()
		if m.HTML {
			names = append(names, "html")
		}
		if l.HasText() || !m.HTML {
			names = append(names, "text")
		}
		names = append(names, "headers", "files", "source")
		if len(m.ways) > 0 {
			names = append(names, "request")
		}
	} else if m.Fields != nil {
		names = append(names, "headers")
	}
	m.Tab = names[0]
	switch {
	case slices.Contains(names, asked):
		m.Tab = asked
	case caught && l != nil:
		m.Tab = names[1]
	}
	labels := map[string]string{"timeline": "Timeline", "html": "HTML", "text": "Text", "headers": "Headers", "files": "Files", "source": "Source", "request": "Request"}
	for _, name := range names {
		m.Tabs = append(m.Tabs, chip{Label: labels[name], URL: "/messages/" + m.ID + "?tab=" + name, Here: name == m.Tab})
	}
}

// read fills in what the tab shows of the contents.
func (m *message) read(v *view, l *letter.Letter) (err error) {
	if l == nil {
		return nil
	}
	switch m.Tab {
	case "html":
		m.Remote = v.r.URL.Query().Has("remote")
		m.Fetches, err = l.WriteHTML(io.Discard, m.Remote)
	case "text":
		var text string
		text, m.Cut, err = l.Text()
		m.Text = letter.Links(text)
	case "headers":
		raw := l.Message.HeaderBytes()
		m.Fields = letter.Header(raw)
		m.Raw, _, err = letter.Start(strings.NewReader(string(raw)))
	case "files":
		m.Files, err = l.Files()
		m.Parts = l.Structure()
	case "source":
		m.Raw, m.Cut, err = letter.Start(l.Message.Reader())
	}
	return err
}
