package feedback

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// Status is how the events of an upstream come in.
type Status struct {
	Name    string
	Mode    string        // poll, webhook, or both: "poll, webhook"
	Every   time.Duration // between two polls; 0: it is not polled
	Heard   time.Time     // when something was told last; zero: nothing since the start
	Polled  time.Time     // when its log was read last; zero: not since the start
	Next    time.Time     // when it will be, if there is mail to ask for
	Idle    bool          // there is no mail to ask for
	Error   string        // why nothing can be learned; "": it can
	Since   time.Time     // of the error
	Scope   string        // right that the key lacks; "": none
	Joined  int           // events since the start that changed something
	Dropped int           // of which nothing could be made
	Waiting int           // of all upstreams, that wait for the record of their mail
}

// state is what a follower knows of an upstream.
type state struct {
	Status
	told    time.Time // when a line about stray events was written
	dropped int       // since then
	skipped int
}

// know forgets upstreams that are in no config any more, and knows the others.
func (f *Follower) know(cfg *Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.states
	f.states = map[string]*state{}
	for _, s := range cfg.Sources {
		how := s.Feedback.Listening()
		if how.Off() {
			continue
		}
		st := old[s.Name]
		if st == nil {
			st = &state{}
		}
		var modes []string
		if how.Every > 0 {
			modes = append(modes, "poll")
		}
		if how.Webhook {
			modes = append(modes, "webhook")
		}
		// A key that lacked a right may be another one now: the next trouble is told.
		st.Name, st.Mode, st.Every, st.Error, st.Scope, st.Since, st.Next = s.Name, strings.Join(modes, ", "), how.Every, "", "", time.Time{}, time.Time{}
		f.states[s.Name] = st
	}
}

// Status returns how the upstreams are that are listened to, in the order of the config.
func (f *Follower) Status() (list []Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.config.Load().Sources {
		if st := f.states[s.Name]; st != nil {
			one := st.Status
			one.Waiting = f.queued
			list = append(list, one)
		}
	}
	return list
}

// change changes what is known of an upstream.
func (f *Follower) change(name string, change func(*state)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if st := f.states[name]; st != nil {
		change(st)
	}
}

func (f *Follower) planned(name string, next time.Time) {
	f.change(name, func(s *state) { s.Next = next })
}

func (f *Follower) idle(name string) { f.change(name, func(s *state) { s.Idle = true }) }

// succeeded notes a poll and returns since when there was trouble, if there was.
func (f *Follower) succeeded(name string) (since time.Time, was bool) {
	f.change(name, func(s *state) {
		since, was = s.Since, s.Error != ""
		s.Polled, s.Idle, s.Error, s.Scope, s.Since = f.Clock.Now(), false, "", "", time.Time{}
	})
	return since, was
}

// failed notes why a poll failed and reports whether that is news.
func (f *Follower) failed(name string, err error) (news bool) {
	f.change(name, func(s *state) {
		text, kind := envelope.ErrorText(err), kindOf(err)
		news = s.Error == "" || kind != s.Scope
		if s.Error == "" {
			s.Since = f.Clock.Now()
		}
		s.Idle, s.Error, s.Scope = false, text, kind
	})
	return news
}

// kindOf returns the right that a key lacks; "" where that is not the trouble.
func kindOf(err error) string {
	var scope *upstream.ScopeError
	if errors.As(err, &scope) {
		return scope.Scope
	}
	return ""
}

// count notes what came of events.
func (f *Follower) count(name string, n int, done *queue.Applied) {
	f.change(name, func(s *state) {
		if n > 0 {
			s.Heard = f.Clock.Now()
		}
		s.Joined += len(done.Joined)
		s.Dropped += done.Dropped
		f.queued = done.Waiting
	})
}

// joined notes what came of events that waited.
func (f *Follower) joined(done *queue.Applied) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range done.Joined {
		if st := f.states[done.Joined[i].Upstream]; st != nil {
			st.Joined++
		}
	}
	f.queued = done.Waiting
}

// stray writes a line about events of which nothing can be made, at most one a minute.
func (f *Follower) stray(name string, dropped, skipped int, note string) {
	write := false
	f.change(name, func(s *state) {
		s.dropped += dropped
		s.skipped += skipped
		if write = time.Since(s.told) >= strayTime; write {
			dropped, skipped = s.dropped, s.skipped
			s.told, s.dropped, s.skipped = time.Now(), 0, 0
		}
	})
	if write {
		f.Journal.EventsStray(name, dropped, skipped, note)
	}
}

// clip makes a text one line that is not too long.
func clip(s string) string {
	if len(s) > textMost {
		s = s[:textMost]
	}
	if utf8.ValidString(s) && !slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
