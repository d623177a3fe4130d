package suppression_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/suppression"
	"mailhatch/upstream"
)

var at = time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC)

// TestForQueue: the queue knows events by the names of the config.
func TestForQueue(t *testing.T) {
	rules := suppression.Default()
	if got := rules.ForQueue(); got.Global || got.Keep != 180*24*time.Hour || !slices.Equal(got.On, []queue.EventKind{queue.EventBounced, queue.EventComplained}) {
		t.Errorf("the default is %+v", got)
	}
	rules.Scope = "global"
	if !rules.ForQueue().Global {
		t.Error("scope global is not")
	}
}

// TestCheck: each bad value is named with what is allowed.
func TestCheck(t *testing.T) {
	good := suppression.Default()
	if bad := good.Check(); len(bad) > 0 {
		t.Errorf("the default: %v", bad)
	}
	rules := suppression.Rules{On: []string{"bounced", "bounce", "opened", "spam"}, Keep: upstream.Duration{Duration: time.Minute}, Scope: "tenant"}
	var got []string
	for _, p := range rules.Check() {
		got = append(got, p.Key+" "+p.Problem+": "+p.Hint)
	}
	want := []string{`on[1] cannot be "bounce": did you mean "bounced"?`, `on[2] cannot be "opened": it says nothing`, `on[3] cannot be "spam": write some of`,
		`keep must be an hour or longer: "180d"`, `scope must be "domain" or "global", not "tenant"`}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

// TestRefusals: who is refused, with which status and words.
func TestRefusals(t *testing.T) {
	entries := []queue.Suppression{
		{Address: "a@example.org", Reason: queue.ReasonBounced, At: at, Words: "550 no\r\n such  user"},
		{Address: "a@example.org", Reason: queue.ReasonManual, At: at.Add(-time.Hour), By: "root"},
		{Address: "b@example.org", Reason: queue.ReasonBounced, At: at, Words: "550 no\r\n such  user"},
		{Address: "c@example.org", Reason: queue.ReasonComplained, At: at},
		{Address: "d@example.org", Reason: queue.ReasonUnsubscribed, At: at},
		{Address: "e@example.org", Reason: queue.ReasonSuppressed, At: at, Words: strings.Repeat("é", 300)},
	}
	asked := ""
	ask := func(_ context.Context, domain string, addresses ...string) ([]queue.Suppression, error) {
		asked = domain + " " + strings.Join(addresses, " ")
		return entries, nil
	}
	got, err := suppression.Refusals(context.Background(), ask, "app@Example.com", "a@example.org", "x@example.org")
	if err != nil || asked != "example.com a@example.org x@example.org" {
		t.Errorf("asked %q, %v", asked, err)
	}
	for address, want := range map[string]string{
		"a@example.org": "550 5.7.1 a@example.org has been suppressed since 2026-11-30: by hand",
		"b@example.org": "550 5.1.1 b@example.org has been suppressed since 2026-11-30: mail to it bounced (550 no such user)",
		"c@example.org": "550 5.7.1 c@example.org has been suppressed since 2026-11-30: its owner has complained about mail",
		"d@example.org": "550 5.7.1 d@example.org has been suppressed since 2026-11-30: its owner wants no more mail",
		"e@example.org": "550 5.7.1 e@example.org has been suppressed since 2026-11-30: the provider sends nothing to it (" + strings.Repeat("é", 100) + ")",
	} {
		if r := got[address]; r == nil || r.Error() != want {
			t.Errorf("%s: %v, want %s", address, r, want)
		}
	}
	if got, err := suppression.Refusals(context.Background(), nil, "", "a@example.org"); got != nil || err != nil {
		t.Errorf("no list: %v, %v", got, err)
	}
	broken := func(context.Context, string, ...string) ([]queue.Suppression, error) {
		return nil, errors.New("broken")
	}
	if _, err := suppression.Refusals(context.Background(), broken, "", "a@example.org"); err == nil {
		t.Error("a list that cannot be read: no error")
	}
}
