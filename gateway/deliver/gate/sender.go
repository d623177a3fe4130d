package gate

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/upstream"
)

const (
	senderFirst  = 30 * time.Second // until mail from a refused address is tried again, twice as long each time
	senderMost   = 10 * time.Minute // at most
	domainTry    = time.Minute      // between mails of a domain of which several addresses were refused: another one may be allowed
	senderTrial  = time.Minute      // for so long others wait for what the mail shows that is tried
	senderKept   = 15 * time.Minute // after its next try a refusal that no mail came to try is forgotten
	sendersMost  = 100              // refusals that are known at once
	domainEnough = 3                // refused addresses that stand for their domain, if none of it was taken since
)

// Refused is a From for which the account may not send. Its mail waits, and that of others goes on.
type Refused struct {
	From  string // an address, or "*@example.com" for all of a domain
	Err   error  // the provider's
	Since time.Time
	Tried time.Time // when it was refused last
	Until time.Time // then one mail tries it again
}

// Covers reports whether it stands against mail with this From.
func (r *Refused) Covers(from string) bool { return r.From == from || r.From == wholeDomain(from) }

// Error returns the provider's words.
func (r *Refused) Error() string { return envelope.ErrorText(r.Err) }

// sender is what is known of a From that was refused.
type sender struct {
	Refused
	step    int  // how far the pauses have grown
	asked   bool // the next try is made out of turn: it failing says nothing new
	trying  bool // a mail that shall show it is under way
	cleared bool // an address of its domain was taken since
}

// senders are what an account may not send as, by address and by "*@domain".
type senders map[string]*sender

func wholeDomain(from string) string {
	return "*@" + strings.ToLower(from[strings.LastIndexByte(from, '@')+1:])
}

// matching returns what stands against a From, the one that lasts longest first.
func (s senders) matching(from string) (list []*sender) {
	for _, key := range []string{from, wholeDomain(from)} {
		if r := s[key]; r != nil {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b *sender) int { return b.Until.Compare(a.Until) })
	return list
}

// try returns why mail with this From may not be offered, or nil where it may. The first mail after a pause, or one that an
// operator wants tried since the last refusal, is offered, and others wait for what it shows.
func (s senders) try(from string, asked, now time.Time) *Refused {
	list := s.matching(from)
	for _, r := range list {
		if now.Before(r.Until) && !asked.After(r.lastTry()) {
			return &r.Refused
		}
	}
	for _, r := range list {
		r.asked = r.asked || now.Before(r.Until)
		r.trying, r.Until = true, now.Add(senderTrial)
	}
	return nil
}

// lastTry returns when a mail was last offered with this From, as far as that is known.
func (s *sender) lastTry() time.Time {
	if s.trying {
		return s.Until.Add(-senderTrial)
	}
	return s.Tried
}

// refuse takes in that the account may not send with a From. It reports whether that is news.
func (s senders) refuse(from string, e *upstream.Error, err error, now time.Time) (news bool) {
	s.forget(now)
	domain := wholeDomain(from)
	if isAboutDomain(e.Err) {
		return s.note(domain, err, senderMost, e.RetryAfter, now)
	}
	news = s.note(from, err, senderMost, e.RetryAfter, now)
	refused := 0
	for key, r := range s {
		if key != domain && wholeDomain(key) == domain && !r.cleared {
			refused++
		}
	}
	if refused >= domainEnough || s[domain] != nil {
		s.note(domain, err, domainTry, 0, now)
	}
	return news
}

func (s senders) note(key string, err error, most, least time.Duration, now time.Time) (news bool) {
	r := s[key]
	switch {
	case r == nil:
		s.makeRoom()
		r, news = &sender{Refused: Refused{From: key, Since: now}}, true
		s[key] = r
	case !r.trying && now.Before(r.Until): // others under way met the same
		r.Err, r.Tried = err, now
		return false
	case !r.asked:
		r.step = min(r.step+1, 10)
	}
	r.asked, r.trying, r.Err, r.Tried = false, false, err, now
	r.Until = now.Add(max(min(senderFirst<<r.step, most), least))
	return news
}

// take takes in that mail with a From was taken, and returns since when it had been refused; zero: it had not.
func (s senders) take(from string) (since time.Time) {
	domain := wholeDomain(from)
	for key, r := range s {
		switch {
		case key == from, key == domain:
			if since.IsZero() || r.Since.Before(since) {
				since = r.Since
			}
			delete(s, key)
		case wholeDomain(key) == domain:
			r.cleared = true
		}
	}
	return since
}

// forget drops what no mail has come to try.
func (s senders) forget(now time.Time) {
	maps.DeleteFunc(s, func(_ string, r *sender) bool { return now.After(r.Until.Add(senderKept)) })
}

// makeRoom drops what is tried next: that costs one offer.
func (s senders) makeRoom() {
	if len(s) >= sendersMost {
		delete(s, slices.MinFunc(slices.Collect(maps.Keys(s)), func(a, b string) int { return s[a].Until.Compare(s[b].Until) }))
	}
}

// list returns what is refused, the oldest first; addresses whose domain is are left out.
func (s senders) list(now time.Time) (list []Refused) {
	s.forget(now)
	for key, r := range s {
		if domain := wholeDomain(key); key == domain || s[domain] == nil {
			list = append(list, r.Refused)
		}
	}
	slices.SortFunc(list, func(a, b Refused) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.From, b.From)) })
	return list
}

var (
	domainWords  = regexp.MustCompile(`(?i)\b(?:(?:sender|sending|from) )?domains?\b`)
	addressWords = regexp.MustCompile(`(?i)@|\b(?:address(?:es)?|senders?|sender['_-]\w+|identit(?:y|ies)|signature|user|mailbox)\b`)
)

// isAboutDomain reports whether a provider refuses all addresses of a domain, and does not mean one of them.
func isAboutDomain(err error) bool {
	if err == nil {
		return false
	}
	words := err.Error()
	rest := domainWords.ReplaceAllString(words, "")
	return rest != words && !addressWords.MatchString(rest)
}

// TrySender returns why mail with this From may not be offered now; nil: it may, and what it shows is to be told by
// SenderRefused or SenderTaken. asked is when an operator wanted the mail tried, by the time of day: that it was refused
// before does not count.
func (g *Gate) TrySender(from string, asked time.Time) *Refused {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.senders) == 0 {
		return nil
	}
	now := time.Now()
	g.senders.forget(now)
	if !asked.IsZero() {
		asked = now.Add(asked.Sub(g.settings.Now()))
	}
	r := g.senders.try(from, asked, now)
	if r == nil {
		return nil
	}
	known := *r
	return &known
}

// SenderRefused takes in that the account may not send with this From. Without one nothing is held back.
func (g *Gate) SenderRefused(from string, err error, e *upstream.Error) {
	if from == "" {
		return
	}
	g.mu.Lock()
	if g.senders == nil {
		g.senders = senders{}
	}
	news := g.senders.refuse(from, e, err, time.Now())
	g.mu.Unlock()
	if news {
		g.journal.SenderRefused(g.settings.Name, from, err)
	}
}

// SenderTaken takes in that the upstream took mail with this From. It reports whether that was refused before: its mail
// need not wait any longer.
func (g *Gate) SenderTaken(from string) (lifted bool) {
	g.mu.Lock()
	since := g.senders.take(from)
	g.mu.Unlock()
	if since.IsZero() {
		return false
	}
	g.journal.SenderTaken(g.settings.Name, from, time.Since(since))
	return true
}

// Refused returns what stands against mail with this From; nil: nothing.
func (g *Gate) Refused(from string) *Refused {
	g.mu.Lock()
	defer g.mu.Unlock()
	if list := g.senders.matching(from); len(list) > 0 {
		known := list[0].Refused
		return &known
	}
	return nil
}

// RefusesSenders reports whether there is a From for which the account may not send.
func (g *Gate) RefusesSenders() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.senders.forget(time.Now())
	return len(g.senders) > 0
}

// TrySenders has the next mail of each From tried that was refused: what was wrong was seen to, or somebody wants to know.
func (g *Gate) TrySenders() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.senders {
		r.Until, r.asked, r.trying = time.Now(), true, false
	}
}
