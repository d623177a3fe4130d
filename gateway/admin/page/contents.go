package page

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"mailhatch/gateway/admin/page/letter"
	"mailhatch/gateway/queue"
)

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

// request is what an upstream is sent.
type request struct {
	Upstream, Text string
	Cut            bool
	Wrong          string // why it cannot be shown
}

// render shows exactly what each upstream is sent, or was.
func (p *Page) render(v *view, m *message) {
	for _, w := range m.ways {
		r := request{Upstream: w.upstream}
		text := capped{most: letter.MaxText}
		if err := p.cfg.Gateway.Render(v.ctx, &queue.Message{ID: m.ID, Envelope: m.Envelope, Header: m.Header, Size: m.Size}, w.upstream, w.to, &text); err != nil && !text.cut {
			r.Wrong = err.Error()
		}
		r.Text, r.Cut = strings.ToValidUTF8(string(text.b), "\uFFFD"), text.cut
		m.Requests = append(m.Requests, r)
	}
}

// capped keeps the start of what is written to it.
type capped struct {
	b    []byte
	most int
	cut  bool
}

var errCut = errors.New("enough")

// Write fails once there is enough.
func (c *capped) Write(p []byte) (int, error) {
	if c.cut = len(c.b)+len(p) > c.most; c.cut {
		c.b = append(c.b, p[:c.most-len(c.b)]...)
		return 0, errCut
	}
	c.b = append(c.b, p...)
	return len(p), nil
}
