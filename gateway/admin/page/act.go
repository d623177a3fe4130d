package page

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
)

// deed is an action, as people see it.
type deed struct {
	Action api.Action
	Verb   string // of the button
	Effect string // what it does, in a sentence
	Done   string // completes "12 recipients of 3 messages are …"
}

func deeds() []deed {
	return []deed{
		{api.Retry, "Retry", "They are offered to their upstreams now, as if they were new.", "tried again"},
		{api.Hold, "Hold", "They wait until somebody releases them.", "held"},
		{api.Release, "Release", "They go on their way now.", "released"},
		{api.Move, "Move", "They wait for another upstream then, whatever the routes say. What it cannot carry stays.", "moved"},
		{api.Delete, "Delete", "They are not delivered. The history records that, but not the mail.", "deleted"},
	}
}

// wish is an action on some mail, as a form names it.
type wish struct {
	Deed  deed
	IDs   []string
	Query string // all mail that it finds, where there are no ids
	sel   api.Selection
}

// toRoutes is the target of a move that ends another one; no upstream can have this name.
const toRoutes = "(routes)"

const maxChosen = 1000 // messages of one form

func badForm(words, hint string) error { return &refusal{http.StatusBadRequest, words, hint} }

// wish reads which action is wanted, for which mail.
func (p *Page) wish(v *view) (*wish, error) {
	if err := v.r.ParseForm(); err != nil {
		return nil, badForm("The form cannot be read.", err.Error())
	}
	f := v.r.Form
	i := slices.IndexFunc(deeds(), func(d deed) bool { return string(d.Action) == f.Get("do") })
	if i < 0 {
		return nil, badForm("There is no such action.", "")
	}
	w := &wish{Deed: deeds()[i], IDs: f["id"], Query: f.Get("q")}
	if w.sel.Target = f.Get("target"); w.sel.Target == toRoutes {
		w.sel.Target, w.sel.Back = "", true
		w.Deed.Effect = "They go where the routes say. Mail that was not moved stays."
	}
	switch {
	case len(w.IDs) > maxChosen:
		return nil, badForm("That is too many messages at once.", "mailhatch queue takes any number.")
	case len(w.IDs) > 0:
		w.sel.IDs, w.Query = w.IDs, ""
		return w, nil
	case strings.TrimSpace(w.Query) == "":
		return nil, badForm("No messages were chosen.", "Tick some in the list, or search first: then an action is for all mail of the queue that the search finds.")
	}
	line, err := search.Parse(w.Query, v.now)
	if err != nil {
		return nil, badForm("This search is not understood.", err.Error())
	}
	return w, w.all(line)
}

// all chooses what a search line finds in the queue.
func (w *wish) all(line *search.Line) error {
	w.sel.All, w.sel.State, w.sel.Upstream = true, envelope.State(line.State), line.Upstream
	w.sel.From, w.sel.To, w.sel.Subject = line.From, line.To, line.Subject
	for _, word := range line.Words {
		switch word.Name {
		case "state", "upstream", "from", "to", "subject":
		case "older", "until":
			w.sel.Older = word.Value
		default:
			return badForm("An action cannot be for all that "+word.Name+": finds.", "Tick the messages that are meant.")
		}
	}
	switch w.sel.State {
	case "", envelope.Queued, envelope.Held, envelope.Failed:
		return nil
	}
	return badForm("This mail has left the queue.", "What was sent can be sent again, one message at a time.")
}

// confirmation is the screen that says what an action will touch.
type confirmation struct {
	*wish
	*api.Changed
	Target  string
	Where   string   // Target, as people call it
	Targets []string // of a move whose target is not chosen yet
	Back    string
}

// confirm shows what an action will touch.
func (p *Page) confirm(v *view) error {
	w, err := p.wish(v)
	if err != nil {
		return err
	}
	c := &confirmation{wish: w, Target: w.sel.Target, Back: "/messages"}
	if len(w.IDs) == 1 {
		c.Back = "/messages/" + w.IDs[0]
	}
	if c.Where = c.Target; w.sel.Back {
		c.Target, c.Where = toRoutes, "the routes"
	}
	if w.Deed.Action == api.Move && c.Target == "" {
		if c.Targets, err = p.upstreamNames(v); err != nil {
			return err
		}
		return p.show(v, http.StatusOK, "target", w.Deed.Verb, c)
	}
	w.sel.DryRun = true
	if c.Changed, err = p.cfg.Gateway.Act(v.ctx, w.Deed.Action, w.sel, ""); err != nil {
		return badForm("This cannot be done.", err.Error())
	}
	return p.show(v, http.StatusOK, "confirm", w.Deed.Verb, c)
}

// upstreamNames are the upstreams of the config.
func (p *Page) upstreamNames(v *view) ([]string, error) {
	st, err := p.cfg.Gateway.Status(v.ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range st.Upstreams {
		if st.Upstreams[i].State != "" {
			names = append(names, st.Upstreams[i].Name)
		}
	}
	return names, nil
}

// result is the screen that says what an action did.
type result struct {
	Words string
	*api.Changed
	Back string
}

// act does what was confirmed.
func (p *Page) act(v *view) error {
	w, err := p.wish(v)
	if err != nil {
		return err
	}
	changed, err := p.cfg.Gateway.Act(v.ctx, w.Deed.Action, w.sel, p.cfg.Caller(v.r).By)
	if err != nil {
		return badForm("This cannot be done.", err.Error())
	}
	if len(w.IDs) == 1 && len(changed.Missing) == 0 && changed.Stay+changed.Busy == 0 && (w.Deed.Action != api.Hold || changed.Offered == 0) {
		http.Redirect(v.w, v.r, fmt.Sprintf("/messages/%s?did=%s-%d", w.IDs[0], w.Deed.Action, changed.Recipients), http.StatusSeeOther)
		return nil
	}
	return p.show(v, http.StatusOK, "done", w.Deed.Verb, &result{w.Deed.did(changed), changed, "/messages"})
}

// did says what came of it.
func (d *deed) did(c *api.Changed) string {
	words := say.Count(c.Recipients, "recipient") + " of " + say.Count(c.Changed, "message") + say.Plural(c.Recipients, " is ", " are ") + d.Done + "."
	if d.Action == api.Hold && c.Offered > 0 {
		words += " " + say.Count(c.Offered, "recipient") + say.Plural(c.Offered, " is ", " are ") + "being offered right now, and held only if the upstream does not take the mail."
	}
	return words
}

// didThis puts into words what an address says was done to one message just now: "retry-3". It is "" for anything else.
func didThis(s string) string {
	action, n, _ := strings.Cut(s, "-")
	recipients, err := strconv.Atoi(n)
	i := slices.IndexFunc(deeds(), func(d deed) bool { return string(d.Action) == action })
	if err != nil || recipients < 1 || i < 0 {
		return ""
	}
	return say.Count(recipients, "recipient") + say.Plural(recipients, " is ", " are ") + deeds()[i].Done + "."
}

// again is the screen by which a message is sent a second time.
type again struct {
	ID      string
	Subject string
	To      []string
	Targets []string
}

// askAgain asks to whom and how a message is to be sent again.
func (p *Page) askAgain(v *view) error {
	m, err := p.known(v)
	if err != nil {
		return err
	}
	a := &again{ID: m.ID, Subject: m.Header.Subject}
	for _, f := range m.fates {
		a.To = append(a.To, f.To)
	}
	if a.Targets, err = p.upstreamNames(v); err != nil {
		return err
	}
	return p.show(v, http.StatusOK, "again", "Send again", a)
}

// sendAgain sends a message a second time, and shows the new one.
func (p *Page) sendAgain(v *view) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	ask := api.Resend{To: addresses(v.r.PostFormValue("to")), Via: v.r.PostFormValue("via")}
	if len(ask.To) == 0 {
		return badForm("No recipients are named.", "")
	}
	sent, err := p.cfg.Gateway.Resend(v.ctx, id, ask, p.cfg.Caller(v.r).By)
	if err != nil {
		return badForm("It cannot be sent again.", err.Error())
	}
	http.Redirect(v.w, v.r, "/messages/"+sent.ID, http.StatusSeeOther)
	return nil
}
