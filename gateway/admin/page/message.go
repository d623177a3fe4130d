package page

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/page/letter"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// message is the screen of one message.
type message struct {
	ID       string
	Header   queue.Summary
	From     string
	Size     int64
	Received time.Time
	Client   string // who handed it over
	Fates    []fate
	Tabs     []chip
	Tab      string
	Kept     bool           // its contents can be read
	Waiting  bool           // something of it is in the queue
	States   map[string]int // recipients

	Timeline []step
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

// fate is what became of a recipient, in a sentence.
type fate struct {
	To, Given string
	State     envelope.State
	Words     string
	Small     string
	At        time.Time
	Next      time.Time
}

// step is one thing that happened.
type step struct {
	At    time.Time
	State envelope.State
	Words string
	Small string
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
	m.tabs(v.r.URL.Query().Get("tab"), l)
	if l != nil {
		if err := m.read(v, l); err != nil {
			return err
		}
	}
	title := m.Header.Subject
	if title == "" {
		title = "Message " + m.ID
	}
	return p.show(v, http.StatusOK, "message", clip(title, 80), m)
}

// known collects what is known of a message.
func (p *Page) known(v *view) (*message, error) {
	id := v.r.PathValue("id")
	if _, ok := queue.ParseID(id); !ok {
		return nil, queue.ErrNotFound
	}
	m := &message{ID: id, States: map[string]int{}}
	waiting, err := p.cfg.Gateway.Show(v.ctx, id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, err
	}
	if waiting != nil {
		m.Waiting = true
		m.ID, m.Header, m.From, m.Size, m.Received = waiting.ID, waiting.Header, waiting.Envelope.From, waiting.Size, waiting.Envelope.Received
		m.Client = clientWords(&waiting.Envelope.Client)
	}
	log, err := p.cfg.Gateway.Log(v.ctx, admin.LogFilter{ID: id})
	if err != nil {
		return nil, err
	}
	if waiting == nil && len(log.Entries) == 0 {
		return nil, fmt.Errorf("%w: %s", queue.ErrNotFound, id)
	}
	for i := range log.Entries {
		e := &log.Entries[i]
		if !m.Waiting && i == 0 {
			m.ID, m.Header, m.From, m.Size, m.Received = e.ID, e.Header, e.From, e.Size, e.Received
		}
		m.States[string(e.State)]++
		m.Fates = append(m.Fates, fateOf(e))
	}
	m.Timeline = append(m.Timeline, step{At: m.Received, Words: "Accepted " + m.Client})
	for i := range log.Entries {
		e := &log.Entries[i]
		if e.Attempts > 0 || e.State != envelope.Queued {
			m.Timeline = append(m.Timeline, step{At: e.At, State: e.State, Words: e.To + " " + fateWords(e), Small: e.Error})
		}
	}
	slices.SortStableFunc(m.Timeline, func(a, b step) int { return a.At.Compare(b.At) })
	return m, nil
}

func clientWords(c *envelope.Client) string {
	var words []string
	if c.Addr.IsValid() {
		words = append(words, "from "+c.Addr.String())
	}
	if c.User != "" {
		words = append(words, "by "+c.User)
	}
	if c.Helo != "" {
		words = append(words, "which calls itself "+c.Helo)
	}
	if c.Listener != "" {
		words = append(words, "at "+c.Listener)
	}
	if c.Protocol != "" {
		words = append(words, "with "+c.Protocol)
	}
	return strings.Join(words, " ")
}

func fateOf(e *admin.Entry) fate {
	f := fate{To: e.To, State: e.State, Words: fateWords(e), Small: e.Error, At: e.At}
	if e.Given != e.To {
		f.Given = e.Given
	}
	if e.State == envelope.Queued {
		f.Next = e.NextAt
	}
	return f
}

// fateWords completes a sentence whose subject is a recipient.
func fateWords(e *admin.Entry) string {
	tries := ""
	if e.Attempts > 1 {
		tries = fmt.Sprintf(" at attempt %d", e.Attempts)
	}
	switch e.State {
	case envelope.Sent:
		after := ""
		if !e.Received.IsZero() {
			after = " " + duration(e.At.Sub(e.Received)) + " after it came"
		}
		return "was taken by " + e.Upstream + after + tries
	case envelope.Queued:
		if e.Attempts == 0 {
			return "waits for " + e.Upstream
		}
		return "waits for " + e.Upstream + " after " + count(e.Attempts, "attempt")
	case envelope.Held:
		return "is held"
	case envelope.Failed:
		return "failed" + tries
	}
	return "was discarded"
}

func (p *Page) body(v *view) (queue.Body, error) {
	id := v.r.PathValue("id")
	if _, ok := queue.ParseID(id); !ok {
		return nil, queue.ErrNotFound
	}
	return p.cfg.Gateway.Body(v.ctx, id)
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

// tabs chooses what is shown: what was asked for, or what a reader would want.
func (m *message) tabs(asked string, l *letter.Letter) {
	names := []string{"timeline"}
	m.Tab = "timeline"
	if l != nil {
		m.HTML = l.HasHTML()
		if m.HTML {
			names = append(names, "html")
		}
		if l.HasText() || !m.HTML {
			names = append(names, "text")
		}
		names = append(names, "headers", "files", "source")
	}
	if slices.Contains(names, asked) {
		m.Tab = asked
	}
	labels := map[string]string{"timeline": "Timeline", "html": "HTML", "text": "Text", "headers": "Headers", "files": "Files", "source": "Source"}
	for _, name := range names {
		m.Tabs = append(m.Tabs, chip{Label: labels[name], URL: "/messages/" + m.ID + "?tab=" + name, Here: name == m.Tab})
	}
}

// read fills in what the tab shows of the contents.
func (m *message) read(v *view, l *letter.Letter) (err error) {
	switch m.Tab {
	case "html":
		m.Remote = v.r.URL.Query().Has("remote")
		m.Fetches, err = l.WriteHTML(io.Discard, m.Remote)
	case "text":
		var text string
		text, m.Cut, err = l.Text()
		m.Text = letter.Links(text)
	case "headers":
		m.Fields = l.Header()
		m.Raw, _, err = letter.Start(strings.NewReader(string(l.Message.HeaderBytes())))
	case "files":
		m.Files, err = l.Files()
		m.Parts = l.Structure()
	case "source":
		m.Raw, m.Cut, err = letter.Start(l.Message.Reader())
	}
	return err
}

// letterHTML is the HTML of a message, for the frame in its screen.
func (p *Page) letterHTML(v *view) error {
	l, done, err := p.open(v)
	if err != nil {
		return err
	}
	defer done()
	remote := v.r.URL.Query().Has("remote")
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", letter.Policy(remote))
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("X-DNS-Prefetch-Control", "off")
	h.Set("Cache-Control", "no-store")
	_, _ = l.WriteHTML(v.w, remote) // the browser sees that the rest is missing
	return nil
}

// source is the message as it is stored, as a file.
func (p *Page) source(v *view) error {
	body, err := p.body(v)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	return v.download(v.r.PathValue("id")+".eml", "message/rfc822", io.NewSectionReader(body, 0, body.Size()))
}

// file is an attachment.
func (p *Page) file(v *view) error {
	l, done, err := p.open(v)
	if err != nil {
		return err
	}
	defer done()
	list, err := l.Files()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(v.r.PathValue("n"))
	if err != nil || n < 0 || n >= len(list) {
		return &refusal{http.StatusNotFound, "The message has no such file.", ""}
	}
	// A type that a browser might run is never named.
	return v.download(list[n].Name, "application/octet-stream", list[n].Open())
}
