package fate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
)

// stories shows groups as text.
func stories(groups []Group) string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "%s %s %d", g.Key, g.Words(), len(g.Fates))
		if g.Fold {
			b.WriteString(" folded")
		}
		if g.Small != "" {
			b.WriteString(": " + g.Small)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestTogether: those who fared alike are told of once where they are many; what needs attention is told first.
func TestTogether(t *testing.T) {
	now := time.Now()
	many := func(n int, f Fate) (list []Fate) {
		for i := range n {
			f.To = fmt.Sprintf("a%d@example.org", i)
			f.At = now.Add(time.Duration(-i) * time.Second)
			list = append(list, f)
			list[i].Small = strings.ReplaceAll(f.Small, "TO", f.To)
		}
		return list
	}
	sent := Fate{State: envelope.Sent, Upstream: "main", Words: "by main"}
	failed := Fate{State: envelope.Failed, Upstream: "main", Words: "failed", Small: "550 <TO>: no such user"}
	held := Fate{State: envelope.Held, Upstream: "main", Words: "held by route drafts"}
	for name, tc := range map[string]struct {
		list []Fate
		want string
	}{
		"nobody":       {nil, ""},
		"few":          {append(many(4, sent), many(4, failed)...), "failed-main-1 failed 4: 550 <…>: no such user\nsent-main-1 by main 4\n"},
		"many":         {append(many(20, sent), many(9, failed)...), "failed-main-1 failed 9 folded: 550 <…>: no such user\nsent-main-1 by main 20 folded\n"},
		"few of many":  {append(many(20, sent), many(2, held)...), "held-main-1 held by route drafts 2\nsent-main-1 by main 20 folded\n"},
		"other words":  {append(many(20, sent), append(many(5, failed), many(5, Fate{State: envelope.Failed, Upstream: "main", Words: "failed", Small: "552 full"})...)...), "failed-main-1 failed 5 folded: 550 <…>: no such user\nfailed-main-2 failed 5 folded: 552 full\nsent-main-1 by main 20 folded\n"},
		"waiting":      {many(12, Fate{State: envelope.Queued, Upstream: "main", Words: "waits for main"}), "queued-main-1 wait for main 12 folded\n"},
		"one waits":    {many(1, Fate{State: envelope.Queued, Upstream: "main", Words: "waits for main"}), "queued-main-1 waits for main 1\n"},
		"other detail": {append(many(10, sent), Fate{State: envelope.Sent, Upstream: "main", Words: "by main", Detail: ", late"}), "sent-main-1 by main 11 folded\n"},
	} {
		groups := Together(tc.list)
		if got := stories(groups); got != tc.want {
			t.Errorf("%s:\n%s want\n%s", name, got, tc.want)
		}
		for _, g := range groups {
			if !g.Last.Equal(now) {
				t.Errorf("%s: the last is %v", name, g.Last)
			}
		}
	}
}

// TestGiven: the name that a recipient was given is its name too.
func TestGiven(t *testing.T) {
	list := []Fate{{To: "a@example.org", Given: "root", Small: "550 root unknown"}, {To: "b@example.org", Small: "550 b@example.org unknown"}}
	if groups := Together(list); len(groups) != 1 || groups[0].Small != "550 … unknown" {
		t.Errorf("%+v", groups)
	}
}
