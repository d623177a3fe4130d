package page

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/admin/page/plot"
	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/queue"
)

// upstreams is the screen of all upstreams.
type upstreams struct {
	List []upstreamCard
	Did  string // what was done just now

	Gateway  string          // this one among those that share the queue
	Gateways []queue.Gateway // none: it shares it with nobody
}

// upstreamCard is all that is known of one upstream.
type upstreamCard struct {
	shownUpstream
	Facts    []fact
	Do       []button
	Strip    template.HTML // when it was closed in the last day
	Troubles []figures.Trouble
}

// fact is a line about an upstream.
type fact struct {
	Name, Value string
	At          time.Time // the value is that time, and Value completes it
	Bad         bool
}

func (p *Page) upstreams(v *view) error {
	st, err := p.cfg.Gateway.Status(v.ctx)
	if err != nil {
		return err
	}
	u := &upstreams{Did: didToUpstream(v.r.URL.Query().Get("did"), st), Gateway: st.Gateway, Gateways: st.Gateways}
	for i := range st.Upstreams {
		c := upstreamCard{shownUpstream: p.shown(st.Upstreams[i])}
		c.Strip = plot.Strip(p.cfg.Figures.Closed(c.Name), "When it was closed in the last 24 hours")
		c.Troubles = p.cfg.Figures.Troubles(c.Name)
		c.Facts = factsOf(&c.Upstream, v.now)
		if half, most, ok := p.cfg.Figures.Latency(c.Name, time.Hour); ok {
			c.Facts = append(c.Facts, fact{Name: "Latency", Value: "half of the recipients within " + say.Duration(half) + ", all but 1 % within " + say.Duration(most) + ", in the last hour"})
		}
		if c.State != "" { // it is in the config
			c.Do = doTo(&c.Upstream, false)
		}
		u.List = append(u.List, c)
	}
	return p.show(v, http.StatusOK, "upstreams", "Upstreams", u)
}

// factsOf tells what an operator may want to know of an upstream.
func factsOf(u *api.Upstream, now time.Time) []fact {
	var list []fact
	add := func(name, value string) { list = append(list, fact{Name: name, Value: value}) }
	if u.Name == waiting.DigestLane {
		add("State", "It is "+waiting.InDigest+".")
	} else if u.State == "" {
		add("State", "It is not in the config: its mail is routed again from time to time.")
	}
	if u.Why != "" {
		list = append(list, fact{Name: "Why", Value: u.Why, Bad: (u.State == "closed" || len(u.Refuses) > 0) && u.PausedBy == ""})
	}
	for _, r := range u.Refuses[min(1, len(u.Refuses)):] { // Why has the first
		list = append(list, fact{Name: "Refuses", Value: "mail from " + r.From + ": " + r.Error, Bad: true})
	}
	if u.State != "open" && u.PausedBy == "" && !u.Since.IsZero() {
		list = append(list, fact{Name: "Since", At: u.Since})
	}
	if u.LastError != "" && !strings.Contains(u.Why, u.LastError) {
		list = append(list, fact{Name: "Last error", Value: u.LastError, At: u.FailedAt})
	}
	if u.NextProbe.After(now) && u.PausedBy == "" {
		list = append(list, fact{Name: "Next probe", At: u.NextProbe})
	}
	waits := parts(u.Queued)
	if u.Queued > 0 && u.State == "open" && u.NextAt.After(now) {
		waits += ", the next at " + u.NextAt.Local().Format("15:04:05")
	}
	add("Waiting", waits)
	busy := strconv.Itoa(u.InFlight)
	if u.MaxConcurrent > 0 {
		busy += " of at most " + strconv.Itoa(u.MaxConcurrent)
	}
	add("In flight", busy)
	if u.Rate > 0 {
		add("Rate", "at most "+u.RateText())
	}
	for _, q := range u.Quota {
		list = append(list, fact{Name: "Quota " + q.Limit, Value: say.Number(q.Left) + " left until " + q.Until.Local().Format("Mon 15:04"), Bad: q.Left == 0})
	}
	for i := range u.Expiries {
		list = append(list, expiryFact(&u.Expiries[i]))
	}
	if e := u.Events; e != nil {
		list = append(list, eventsFact(e))
	}
	if c := u.Canary; c != nil {
		list = append(list, fact{Name: "Canary", Value: c.Why, At: c.Since, Bad: true})
	}
	return list
}

// eventsFact tells how what the provider tells later comes in.
func eventsFact(e *api.Hearing) fact {
	f := fact{Name: "Later events", Value: say.Number(e.Count) + " by " + e.Mode + " since the start"}
	switch {
	case e.Error != "":
		f.Value, f.Bad = "the provider's reports cannot be read: "+e.Error, true
	case e.Idle:
		f.Value += "; there is no mail to ask for"
	}
	return f
}

func expiryFact(e *api.Expiry) fact {
	f := fact{Name: strings.ToUpper(e.Name[:1]) + e.Name[1:], At: e.At}
	switch {
	case e.Error != "":
		f.Value, f.Bad = "not renewed: "+e.Error, true
	case e.At.IsZero():
		f.Value = "none yet"
	case e.Renewed:
		f.Value = "is renewed before its end"
	default:
		f.Value = "ends then"
	}
	return f
}

// doTo lists what can be done to an upstream; urgent is what helps one that does not work.
func doTo(u *api.Upstream, urgent bool) []button {
	to := func(label string, a api.UpstreamAction) button {
		return button{label, "/upstreams/" + url.PathEscape(u.Name) + "/" + string(a)}
	}
	if u.PausedBy != "" {
		return []button{to("Resume…", api.Resume)}
	}
	var list []button
	if !urgent {
		list = append(list, to("Pause…", api.Pause))
	}
	if u.State != "open" || len(u.Refuses) > 0 {
		list = append(list, to("Probe now…", api.Probe))
	}
	return list
}

// upstreamDeed is the screen that says what an action does to an upstream.
type upstreamDeed struct {
	Name, Title, Effect, Verb string
	Action                    api.UpstreamAction
	Waiting                   int
}

// upstreamWish reads which action is wanted, for which upstream.
func (p *Page) upstreamWish(v *view) (*upstreamDeed, error) {
	d := &upstreamDeed{Name: v.r.PathValue("name"), Action: api.UpstreamAction(v.r.PathValue("action"))}
	switch d.Action {
	case api.Pause:
		d.Verb, d.Title, d.Effect = "Pause", "Pause "+d.Name+"?", "It is offered nothing until somebody resumes it, over restarts too. Its mail waits, or takes another way where its route has one."
	case api.Resume:
		d.Verb, d.Title, d.Effect = "Resume", "Resume "+d.Name+"?", "Mail is offered to it again."
	case api.Probe:
		d.Verb, d.Title, d.Effect = "Probe", "Probe "+d.Name+" now?", "One mail is offered to it at once. Where that is taken, the rest follows."
	default:
		return nil, badForm("There is no such action.", "")
	}
	st, err := p.cfg.Gateway.Status(v.ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(st.Upstreams, func(u api.Upstream) bool { return u.Name == d.Name && u.State != "" })
	if i < 0 {
		return nil, &refusal{http.StatusNotFound, "There is no such upstream.", "It may be gone from the config."}
	}
	d.Waiting = st.Upstreams[i].Queued
	return d, nil
}

func (p *Page) confirmUpstream(v *view) error {
	d, err := p.upstreamWish(v)
	if err != nil {
		return err
	}
	return p.show(v, http.StatusOK, "steer", d.Title, d)
}

func (p *Page) actOnUpstream(v *view) error {
	d, err := p.upstreamWish(v)
	if err != nil {
		return err
	}
	if _, err := p.cfg.Gateway.ActOn(v.ctx, d.Name, d.Action, p.cfg.Caller(v.r).By); err != nil {
		return badForm("This cannot be done.", err.Error())
	}
	at := url.URL{Path: "/upstreams", RawQuery: url.Values{"did": {string(d.Action) + "-" + d.Name}}.Encode(), Fragment: "up-" + d.Name}
	http.Redirect(v.w, v.r, at.String(), http.StatusSeeOther)
	return nil
}

// didToUpstream puts into words what an address says was done to an upstream just now: "pause-main". It is "" for anything else.
func didToUpstream(s string, st *api.Status) string {
	action, name, _ := strings.Cut(s, "-")
	if !slices.ContainsFunc(st.Upstreams, func(u api.Upstream) bool { return u.Name == name && u.State != "" }) {
		return ""
	}
	switch api.UpstreamAction(action) {
	case api.Pause:
		return name + " is paused."
	case api.Resume:
		return name + " is resumed."
	case api.Probe:
		return name + " is probed: its state shows what comes of it."
	}
	return ""
}
