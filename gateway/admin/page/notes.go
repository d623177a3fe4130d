package page

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/page/say"
	"mailhatch/gateway/envelope"
)

// note is something that an operator should know, in a sentence.
type note struct {
	Level string // bad: mail is refused or none gets out; warn: some waits; info: something lies there; good
	Short string // a few words, for the top of each screen
	Text  string
	Small string         // the code or the provider's words behind it
	State envelope.State // of the mail it is about, where that is one; else ""
	Link  string         // to what is meant
	Do    []button       // what can be done
}

// button leads to a form that does something.
type button struct{ Label, URL string }

// whole returns the note for the top of each screen: the worst, with how many more there are. All is well where there is none.
func whole(list []note) note {
	for _, level := range []string{"bad", "warn", "info"} {
		if i := slices.IndexFunc(list, func(n note) bool { return n.Level == level }); i >= 0 {
			n := note{Level: level, Short: list[i].Short, State: list[i].State, Link: "/overview"}
			if more := len(list) - 1; more > 0 {
				n.Short += fmt.Sprintf(", %d more", more)
			}
			return n
		}
	}
	return note{Level: "good", Short: "All mail is moving", Link: "/overview"}
}

// longWait is how long the oldest mail may wait before it is worth a note.
const longWait = 15 * time.Minute

// notes tells what needs attention, the worst first.
func (p *Page) notes(v *view, st *api.Status) []note {
	var list []note
	for _, reason := range st.NotReady {
		if strings.HasPrefix(reason, "upstream ") { // it has a note of its own
			continue
		}
		list = append(list, note{Level: "bad", Short: "Not ready: " + say.Clip(reason, 60), Text: "Not ready: " + reason + "."})
	}
	for i := range st.Upstreams {
		if n, ok := upstreamNote(v.now, &st.Upstreams[i]); ok {
			list = append(list, n)
		}
	}
	if q := st.Queue[envelope.Queued]; q.Parts > 0 && v.now.Sub(q.Oldest) > longWait {
		list = append(list, note{Level: "warn", Short: say.Number(q.Parts) + say.Plural(q.Parts, " waits", " wait") + ", the oldest for " + say.Duration(v.now.Sub(q.Oldest).Truncate(time.Second)),
			Text: fmt.Sprintf("The oldest mail that waits came %s ago.", say.Duration(v.now.Sub(q.Oldest).Truncate(time.Second))), Link: "/messages?q=state:waits"})
	}
	if q := st.Queue[envelope.Failed]; q.Parts > 0 {
		list = append(list, note{Level: "info", Short: say.Number(q.Parts) + " failed", State: envelope.Failed, Text: failed(q.Parts), Link: "/messages?q=state:failed"})
	}
	if q := st.Queue[envelope.Held]; q.Parts > 0 {
		list = append(list, note{Level: "info", Short: say.Number(q.Parts) + " held", State: envelope.Held, Text: held(q.Parts), Link: "/messages?q=state:held"})
	}
	for _, n := range st.Store.Notes {
		list = append(list, note{Level: "warn", Short: "The store needs attention", Text: "The store: " + n})
	}
	if n := st.Store.Aside; n > 0 {
		list = append(list, note{Level: "info", Short: "Bodies were set aside", Text: fmt.Sprintf("Stored bodies without a message were set aside in %s: %s.", st.Store.AsideDir, say.Number(n)),
			Small: "mailhatch recover"})
	}
	return append(list, maildropNotes(v.now, st.Maildrop)...)
}

// freshDrop is how long mail may lie in the maildrop before it is worth a note: it is taken in within seconds.
const freshDrop = time.Minute

// maildropNotes tells of mail that sendmail left while the gateway was down and that is not in the queue.
func maildropNotes(now time.Time, d *api.MaildropStatus) (list []note) {
	if d == nil {
		return nil
	}
	if age := now.Sub(d.Oldest); d.Messages > 0 && age > freshDrop {
		list = append(list, note{Level: "warn", Short: say.Count(d.Messages, "message") + " in the maildrop",
			Text:  fmt.Sprintf("%s of local programs could not be taken from the maildrop yet, the oldest for %s.", say.Count(d.Messages, "message"), say.Duration(age.Truncate(time.Second))),
			Small: "mailhatch queue list --state maildrop"})
	}
	if d.Refused > 0 {
		list = append(list, note{Level: "warn", Short: say.Count(d.Refused, "message") + " left in the maildrop", Text: fmt.Sprintf("%s could not be taken in from the maildrop; see %s and the log.", say.Count(d.Refused, "message"), d.RefusedDir)})
	}
	return list
}

// parts writes how many parts of mail there are, as commands call them: each is what some recipients of a message wait for together.
func parts(n int) string { return say.Number(n) + " " + unit(n) }

func unit(n int) string { return say.Plural(n, "part of mail", "parts of mail") }

// partsWait writes that so many of them wait.
func partsWait(n int) string { return parts(n) + " " + say.Plural(n, "waits", "wait") }

func held(n int) string {
	return parts(n) + say.Plural(n, " is held until somebody releases it.", " are held until somebody releases them.")
}

func failed(n int) string {
	return parts(n) + say.Plural(n, " has", " have") + " failed and can be tried again."
}

// paused is what people see for the state of an upstream that an operator has paused.
const paused = "paused"

// upstreamNote tells what is wrong with an upstream, if anything is.
func upstreamNote(now time.Time, u *api.Upstream) (note, bool) {
	for _, e := range u.Expiries {
		switch {
		case e.Error != "":
			return note{Level: "warn", Short: u.Name + ": its " + e.Name + " is not renewed", Text: fmt.Sprintf("The %s of %s could not be renewed.", e.Name, u.Name),
				Small: e.Error, Link: "/upstreams#up-" + u.Name}, true
		case !e.Renewed && !e.At.IsZero() && e.At.Sub(now) < 7*24*time.Hour:
			return note{Level: "warn", Short: u.Name + ": its " + e.Name + " ends soon",
				Text: fmt.Sprintf("The %s of %s ends on %s.", e.Name, u.Name, e.At.Local().Format("Monday 2 January")), Link: "/upstreams#up-" + u.Name}, true
		}
	}
	if u.State == "open" && len(u.Refuses) > 0 {
		return refusedNote(u), true
	}
	if u.State == "" || u.State == "open" {
		return note{}, false
	}
	if u.PausedBy != "" {
		u.State = paused
	}
	n := note{Level: "warn", Short: u.Name + " is " + u.State, Small: u.LastError, Link: "/messages?q=upstream:" + u.Name, Do: doTo(u, true)}
	n.Text = u.Name + " has been " + u.State
	if now.Sub(u.Since) >= time.Second && !u.Since.IsZero() {
		n.Text += " for " + say.Duration(now.Sub(u.Since).Truncate(time.Second))
	}
	if why := strings.TrimPrefix(u.Why, u.State+": "); why != "" {
		n.Text, n.Small = n.Text+": "+why, ""
	}
	if u.State == paused {
		n.Text, n.Small = u.Name+" is "+u.Why, ""
	}
	n.Text += "."
	if u.Queued > 0 {
		n.Short = say.Number(u.Queued) + say.Plural(u.Queued, " waits for ", " wait for ") + u.Name
		n.Text += " " + partsWait(u.Queued) + "."
		n.Do = append(n.Do, button{"Move elsewhere…", "/act?do=move&q=state:queued+upstream:" + url.QueryEscape(u.Name)})
	}
	return n, true
}

// refusedNote tells whose mail an upstream does not take that takes that of others.
func refusedNote(u *api.Upstream) note {
	who := u.Refuses[0].From
	if n := len(u.Refuses); n > 1 {
		who = say.Count(n, "sender")
	}
	return note{Level: "warn", Short: u.Name + " refuses mail from " + who, Text: u.Name + " " + u.Why + ".", Link: "/upstreams#up-" + u.Name, Do: doTo(u, true)}
}
