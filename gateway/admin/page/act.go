package page

import (
	"net/http"
	"slices"
	"strings"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// deed is an action, as people see it.
type deed struct {
	Action admin.Action
	Verb   string // of the button
	Effect string // what it does, in a sentence
	Done   string // completes "12 recipients of 3 messages are …"
	from   []envelope.State
}

func deeds() []deed {
	return []deed{
		{admin.Retry, "Retry", "They are offered to their upstreams now, as if they were new.", "tried again", []envelope.State{envelope.Queued, envelope.Failed}},
		{admin.Hold, "Hold", "They wait until somebody releases them.", "held", []envelope.State{envelope.Queued}},
		{admin.Release, "Release", "They go on their way now.", "released", []envelope.State{envelope.Held}},
		{admin.Delete, "Delete", "They are discarded and reach nobody. The history keeps that it was so, not the mail.", "deleted",
			[]envelope.State{envelope.Queued, envelope.Held, envelope.Failed}},
	}
}

// confirmation is the screen that says what an action will touch.
type confirmation struct {
	Deed     deed
	IDs      []string
	Rows     []touched
	Groups   int
	To       int // recipients
	More     int // messages that are not in Rows
	Messages int
	Back     string
	None     bool
}

// touched is a message that the action will touch, or has.
type touched struct {
	ID, From, Subject string
	To                string
	Parts             []admin.Part
}

const (
	maxChosen = 1000 // messages of one action
	maxShown  = 20
)

// chosen reads which action is wanted, for which messages.
func (p *Page) chosen(v *view) (deed, []string, error) {
	if err := v.r.ParseForm(); err != nil {
		return deed{}, nil, &refusal{http.StatusBadRequest, "The form cannot be read.", err.Error()}
	}
	i := slices.IndexFunc(deeds(), func(d deed) bool { return string(d.Action) == v.r.Form.Get("do") })
	if i < 0 {
		return deed{}, nil, &refusal{http.StatusBadRequest, "There is no such action.", ""}
	}
	ids := v.r.Form["id"]
	switch {
	case len(ids) == 0:
		return deed{}, nil, &refusal{http.StatusBadRequest, "No messages were chosen.", "Tick some in the list first."}
	case len(ids) > maxChosen:
		return deed{}, nil, &refusal{http.StatusBadRequest, "That is too many messages at once.", "mailhatch queue takes any number."}
	}
	return deeds()[i], ids, nil
}

// confirm shows what an action will touch.
func (p *Page) confirm(v *view) error {
	d, ids, err := p.chosen(v)
	if err != nil {
		return err
	}
	list, err := p.cfg.Gateway.List(v.ctx, admin.Filter{IDs: ids})
	if err != nil {
		return err
	}
	c := &confirmation{Deed: d, IDs: ids, Back: "/messages"}
	if len(ids) == 1 {
		c.Back = "/messages/" + ids[0]
	}
	for i := range list.Messages {
		m := &list.Messages[i]
		t := touched{ID: m.ID, From: sender(m.Envelope.From), Subject: m.Header.Subject}
		var to []string
		for _, part := range m.Parts {
			if !slices.Contains(d.from, part.State) {
				continue
			}
			t.Parts = append(t.Parts, part)
			c.Groups++
			for _, r := range part.To {
				to = append(to, mime.AddressText(r.Address))
			}
		}
		if len(t.Parts) == 0 {
			continue
		}
		c.Messages++
		c.To += len(to)
		if t.To = listed(to, 3); len(c.Rows) < maxShown {
			c.Rows = append(c.Rows, t)
		} else {
			c.More++
		}
	}
	c.None = c.To == 0
	return p.show(v, http.StatusOK, "confirm", d.Verb, c)
}

// done is the screen that says what an action did.
type done struct {
	Words   string
	Missing []string
	Back    string
}

// did says what came of it.
func (d *deed) did(c *admin.Changed) string {
	are := "are"
	if c.Recipients == 1 {
		are = "is"
	}
	return count(c.Recipients, "recipient") + " of " + count(c.Changed, "message") + " " + are + " " + d.Done + "."
}

// act does what was confirmed.
func (p *Page) act(v *view) error {
	d, ids, err := p.chosen(v)
	if err != nil {
		return err
	}
	changed, err := p.cfg.Gateway.Act(v.ctx, d.Action, admin.Selection{IDs: ids}, p.cfg.Caller(v.r).By)
	if err != nil {
		return err
	}
	if len(ids) == 1 && len(changed.Missing) == 0 {
		http.Redirect(v.w, v.r, "/messages/"+strings.ToUpper(ids[0]), http.StatusSeeOther)
		return nil
	}
	return p.show(v, http.StatusOK, "done", d.Verb, &done{d.did(changed), changed.Missing, "/messages"})
}
