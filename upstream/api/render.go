package api

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// Render writes the requests as they would go over the wire, without the key.
func (u *Upstream) Render(m *upstream.Mail, w io.Writer) error {
	composed, err := u.provider.Compose(m)
	if err != nil {
		return err
	}
	var b strings.Builder
	calls, refused := planCalls(m, everyone(m), u.client.service)
	for i, rcpt := range m.To {
		if err := refused[i]; err != nil {
			fmt.Fprintf(&b, "not to %s: %v\n\n", rcpt.Address, err)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	for i := range calls {
		req, err := u.client.request(composed, &calls[i])
		if err != nil {
			return err
		}
		if err := u.client.render(req, w); err != nil {
			return err
		}
		if u.client.service.Addressed {
			if err := calls[i].render(w); err != nil {
				return err
			}
		}
	}
	b.Reset()
	b.WriteString("What this API always changes:\n")
	for _, s := range u.client.service.Changes {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	_, e := io.WriteString(w, b.String())
	if len(calls) == 0 {
		return errors.Join(e, errors.New("no recipient that this API can address"))
	}
	return e
}

// render writes the recipients of a request whose message has them, in a form that people cannot read.
func (c *Call) render(w io.Writer) error {
	var b strings.Builder
	b.WriteString("In the message are:\n")
	for _, list := range []struct {
		name string
		of   []mime.Address
	}{{"To", c.To}, {"Cc", c.Cc}, {"Bcc", c.Bcc}} {
		if len(list.of) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", list.name, strings.Join(FormatMailboxes(list.of), ", "))
		}
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

// render writes one request.
func (c *Client) render(r *Request, w io.Writer) error {
	if r.Before != nil {
		if err := c.render(r.Before, w); err != nil {
			return err
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s\n", r.Method, c.base, r.Path)
	for fields := range slices.Chunk(c.auth.Fields(), 2) {
		fmt.Fprintf(&b, "%s: %s\n", fields[0], fields[1])
	}
	fmt.Fprintf(&b, "User-Agent: %s\n", c.agent)
	for i := 0; i+1 < len(r.Header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\n", r.Header[i], r.Header[i+1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\n\n", r.Body.Size())
	_, err := io.Copy(w, io.MultiReader(strings.NewReader(b.String()), r.Body.shown().Open(), strings.NewReader("\n")))
	return err
}

// shown is the body without secrets.
func (p Payload) shown() Payload {
	shown := slices.Clone(p)
	for i := range shown {
		if shown[i].Secret {
			shown[i] = Segment{Literal: []byte(`"` + upstream.Redacted + `"`)}
		}
	}
	return shown
}
