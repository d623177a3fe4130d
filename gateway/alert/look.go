package alert

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// sight is what a look at the gateway found. What is nil or false could not be seen, or nobody asked.
type sight struct {
	now       time.Time
	upstreams []Upstream
	open      map[string]opening
	queue     *Depth
	full      error
	fullSeen  bool
	away      string   // see Config
	slow      []string // what slows the database down
	slowSeen  bool
	endings   []Ending
	maildrop  *Drops
	canaries  []Stopped
	flown     bool // canaries are known
}

// opening is since when an upstream is seen to be open.
type opening struct {
	closed time.Time // when it was last seen closed; zero: not since the start
	since  time.Time // zero: it is closed
}

// endingsEvery is how often certificates and tokens are looked at.
const endingsEvery = time.Minute

// look asks for what the alerts are on.
func (w *Watcher) look(ctx context.Context, on []string) *sight {
	wanted := func(event string) bool { return slices.Contains(on, event) }
	s := &sight{now: w.cfg.Now()}
	if wanted(UpstreamClosed) {
		s.upstreams = w.cfg.Upstreams()
		s.open = w.follow(s.upstreams, s.now)
	}
	if wanted(QueueOld) {
		if d, err := w.cfg.Queue(ctx); err == nil { // the keeper of the queue reports what is wrong with it
			s.queue = &d
		}
	}
	if wanted(Disk) {
		s.full, s.fullSeen = w.cfg.Full(ctx), ctx.Err() == nil
	}
	if wanted(InternalError) && w.cfg.Away != nil {
		s.away = w.cfg.Away()
	}
	if wanted(Database) {
		slow, err := w.cfg.Database(ctx)
		s.slow, s.slowSeen = slow, err == nil // that it is away is an internal error
	}
	if wanted(Maildrop) {
		if d, err := w.cfg.Maildrop(); err == nil {
			s.maildrop = &d
		}
	}
	if wanted(Canary) {
		s.canaries, s.flown = w.cfg.Canaries()
	}
	if wanted(Expiring) {
		if w.endingsAt.IsZero() || s.now.Sub(w.endingsAt).Abs() >= endingsEvery {
			w.endings, w.endingsAt = w.cfg.Endings(), s.now
		}
		s.endings = w.endings
	}
	return s
}

// follow notes since when each upstream is open.
func (w *Watcher) follow(list []Upstream, now time.Time) map[string]opening {
	opened := map[string]opening{}
	for _, u := range list {
		o := w.opened[u.Name]
		switch {
		case u.Closed:
			o = opening{closed: now}
		case u.Paused:
			o.since = time.Time{}
		case o.since.IsZero():
			o.since = now
		}
		opened[u.Name] = o
	}
	w.opened = opened
	return opened
}

// find returns what is wrong by the settings of a receiver. going reports whether an episode of a key goes on.
func (s *Settings) find(v *sight, p *past, going func(key string) bool) (list []Alert) {
	add := func(event, subject string, since time.Time, format string, args ...any) {
		list = append(list, Alert{Event: event, Status: Firing, Subject: subject, Text: fmt.Sprintf(format, args...), Since: since.UTC().Truncate(time.Second)})
	}
	for _, event := range s.On {
		switch event {
		case UpstreamClosed:
			for _, u := range v.upstreams {
				switch {
				case !s.closed(&u, v, p, going):
				case u.Closed && u.Refuses != "":
					add(event, u.Name, u.Since, "upstream %s refuses mail from %s%s", u.Name, u.Refuses, words(u.Error))
				case u.Closed:
					add(event, u.Name, u.Since, "upstream %s is closed (%s)%s", u.Name, u.Reason, words(u.Error))
				default:
					add(event, u.Name, v.now, "") // what was told of it stands
				}
			}
		case QueueOld:
			if q := v.queue; q != nil && !q.Oldest.IsZero() && v.now.Sub(q.Oldest) > s.Older.Duration {
				add(event, "", q.Oldest, "the oldest of %d in the queue was accepted %s ago", q.Count, span(v.now.Sub(q.Oldest)))
			}
		case Failed:
			if n, of, since := p.in(Failed, s.Window.Duration, v.now); n > s.Count {
				add(event, "", since, "%s failed in %s: %s", counted(n, "recipient"), span(s.Window.Duration), of)
			}
		case InternalError:
			if v.away != "" {
				add(event, "", v.now, "%s", masked(v.away))
			} else if n, of, since := p.in(InternalError, s.Window.Duration, v.now); n > 0 {
				add(event, "", since, "%s in %s: %s; see the log", counted(n, "internal error"), span(s.Window.Duration), of)
			}
		case Silent:
			switch since, accepted := p.quiet(); {
			case v.now.Sub(since) <= s.For.Duration:
			case accepted == uncounted:
				add(event, "", since, "no gateway has sent anything for %s", span(v.now.Sub(since)))
			default:
				add(event, "", since, "nothing was sent for %s; %s accepted meanwhile", span(v.now.Sub(since)), counted(accepted, "message"))
			}
		case Disk:
			if v.full != nil {
				add(event, "", v.now, "new mail is refused: %s", masked(v.full.Error()))
			}
		case Database:
			if len(v.slow) > 0 {
				add(event, "", v.now, "%s", strings.Join(v.slow, "; "))
			}
		case Maildrop:
			d := v.maildrop
			if d != nil && !d.Oldest.IsZero() && v.now.Sub(d.Oldest) > s.After.Duration {
				add(event, "", d.Oldest, "%s in the maildrop, the oldest for %s", counted(d.Count, "message"), span(v.now.Sub(d.Oldest)))
			}
			if d != nil && d.Refused > 0 {
				add(event, "refused", v.now, "%s of the maildrop could not be taken in: set aside in maildrop-refused; the log says why", counted(d.Refused, "message"))
			}
		case Canary:
			for _, c := range v.canaries {
				add(event, c.Upstream, c.Since, "%s%s", c.Text, words(c.Error))
			}
		case Expiring:
			for _, e := range v.endings {
				add(event, e.Owner+" "+e.What, v.now, "%s", e.text(v.now))
			}
		}
	}
	return list
}

// How long an upstream must stay open, while nobody knows whether it works, before that is told: as long as `after`, but
// within these bounds.
const (
	settleLeast = time.Minute
	settleMost  = 10 * time.Minute
)

// closed reports whether an upstream is closed for long enough. After it was told, a gate that is open because the
// gateway has just started, or has read its config again, shows nothing: some mail must get through or some time pass.
func (s *Settings) closed(u *Upstream, v *sight, p *past, going func(key string) bool) bool {
	told := going((&Alert{Event: UpstreamClosed, Subject: u.Name}).key())
	if u.Paused {
		return told
	}
	if u.Closed {
		return told || v.now.Sub(u.Since) >= s.After.Duration
	}
	o := v.open[u.Name]
	return told && !p.wellSince(u.Name, o.closed) && v.now.Sub(o.since) < max(settleLeast, min(s.After.Duration, settleMost))
}

// unseen reports whether nothing is known of an event now: what was found of it stands.
func (v *sight) unseen(event string) bool {
	return event == QueueOld && v.queue == nil || event == Disk && !v.fullSeen || event == Maildrop && v.maildrop == nil || event == Database && !v.slowSeen || event == Canary && !v.flown
}

func (e *Ending) text(now time.Time) string {
	text := fmt.Sprintf("%s: the %s", e.Owner, e.What)
	switch {
	case e.At.IsZero():
		text += " is missing"
	case now.After(e.At):
		text += " ended " + span(now.Sub(e.At)) + " ago"
	default:
		text += " ends in " + span(e.At.Sub(now))
	}
	if e.Reason != "" {
		text += " and was not renewed" + words(e.Reason)
	}
	return text
}

// maxWords bounds what a provider says, in bytes.
const maxWords = 300

// words appends what a provider said; it may name somebody.
func words(s string) string {
	if s == "" {
		return ""
	}
	return ": " + masked(s)
}

// masked hides addresses of mail in words of others, makes one line of them, and cuts it.
func masked(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	s = regexp.MustCompile(`[^\s<>"(),:;@]+@[^\s<>"'(),:;]+`).ReplaceAllString(s, "…@…")
	if len(s) > maxWords {
		s = s[:maxWords] + "…"
	}
	return strings.ToValidUTF8(s, "…")
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// span is a time for people.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}
