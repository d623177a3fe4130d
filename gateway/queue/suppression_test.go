package queue

import (
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

// TestEndedBy: a delivery shows that a mailbox is there again, and not that somebody takes a complaint back.
func TestEndedBy(t *testing.T) {
	at := time.Now()
	for _, c := range []struct {
		reason SuppressionReason
		after  time.Duration
		want   bool
	}{
		{ReasonBounced, time.Second, true}, {ReasonBounced, 0, false}, {ReasonBounced, -time.Second, false}, {ReasonSuppressed, time.Second, true},
		{ReasonComplained, time.Hour, false}, {ReasonUnsubscribed, time.Hour, false}, {ReasonManual, time.Hour, false},
	} {
		s := Suppression{Reason: c.reason, At: at}
		if got := s.EndedBy(at.Add(c.after)); got != c.want {
			t.Errorf("%s, delivered %v later: ended %v, want %v", c.reason, c.after, got, c.want)
		}
	}
}

// TestEntry: what events put on the list, for whose mail and for how long.
func TestEntry(t *testing.T) {
	at := time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC)
	usual := SuppressionRules{On: []EventKind{EventBounced, EventComplained}, Keep: time.Hour}
	global := SuppressionRules{On: usual.On, Global: true}
	for _, c := range []struct {
		rules SuppressionRules
		kind  EventKind
		state envelope.State
		from  string
		want  string
	}{
		{usual, EventBounced, envelope.Bounced, "app@Mail.Example.com", "bounced mail.example.com 00:00:00"},
		{usual, EventBounced, envelope.Delivered, "app@example.com", ""},
		{usual, EventComplained, envelope.Complained, "app@example.com", "complained example.com 00:00:00"},
		{usual, EventComplained, envelope.Complained, "", ""},
		{global, EventBounced, envelope.Bounced, "", "bounced  -"},
		{global, EventComplained, envelope.Complained, "app@example.com", "complained  -"},
		{usual, EventBounced, envelope.Bounced, "~digest", "bounced  00:00:00"},
		{usual, EventSoftBounced, envelope.Sent, "app@example.com", ""},
		{SuppressionRules{}, EventBounced, envelope.Bounced, "app@example.com", ""},
	} {
		s, ok := c.rules.Entry(&Joined{Told: Told{Kind: c.kind, Recipient: "bob@example.org", At: at}, From: c.from, State: c.state}, at)
		got := ""
		if ok {
			until := "-"
			if !s.Until.IsZero() {
				until = s.Until.Format(time.TimeOnly)
			}
			got = strings.Join([]string{string(s.Reason), s.Domain, until}, " ")
		}
		if got != c.want {
			t.Errorf("%s from %q: %q, want %q", c.kind, c.from, got, c.want)
		}
	}
	if s, ok := usual.Entry(&Joined{Told: Told{Kind: EventComplained, Recipient: "bob@example.org"}, From: "a@b.c"}, at); !ok || !s.At.Equal(at) {
		t.Errorf("a time that is not told: %+v", s)
	}
}

// TestMayReplace: all entries in force of the domain have to give way; those of other domains do not matter.
func TestMayReplace(t *testing.T) {
	at := time.Now()
	s := Suppression{Domain: "a.test", Reason: ReasonComplained, At: at}
	bounced, manual := Suppression{Domain: "A.test", Reason: ReasonBounced, At: at}, Suppression{Domain: "a.test", Reason: ReasonManual, At: at}
	over, other := manual, manual
	over.Until, other.Domain = at.Add(-time.Second), ""
	for _, c := range []struct {
		what  string
		there []Suppression
		want  bool
	}{
		{"nothing", nil, true}, {"a bounce", []Suppression{bounced}, true}, {"a person's", []Suppression{manual}, false},
		{"both", []Suppression{bounced, manual}, false}, {"one that is over", []Suppression{over}, true}, {"one for all", []Suppression{other}, true},
	} {
		if got := s.MayReplace(c.there, at); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
