// Package fate puts recipients of a message together that fared alike: a message may have thousands, and few stories.
package fate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
)

// Fate is what became of a recipient, or why it waits: a sentence whose subject is the recipient.
type Fate struct {
	To, Given string // Given: what it was called before aliases and rewriting, "" for the same
	State     envelope.State
	Upstream  string
	Words     string    // the sentence, as far as others that fared alike share it
	Detail    string    // its end
	Small     string    // words of a provider, which may name the recipient
	ID        string    // by which the provider knows it, "" for none
	At        time.Time // of its end; zero: it has none yet
}

// Group is recipients that fared alike.
type Group struct {
	Key   string // names the group among those of a message, as long as it has such recipients
	Fates []Fate
	Fold  bool   // it is told once, its recipients are a list
	Small string // of a folded group: the words with … in place of the recipient
	Last  time.Time
}

const (
	fewAll  = 10 // recipients of a message that are each told of
	fewSame = 3  // recipients of a group that are, also where there are more in others
)

// Together divides fates into groups. What needs attention stands first, and else the order stays.
func Together(list []Fate) []Group {
	var groups []Group
	at := map[string]int{}
	for _, f := range list {
		small := Unnamed(f.Small, f.To, f.Given)
		story := fmt.Sprintf("%s\x00%s\x00%s\x00%s", f.State, f.Upstream, f.Words, small)
		i, known := at[story]
		if !known {
			i = len(groups)
			at[story] = i
			groups = append(groups, Group{Small: small})
		}
		g := &groups[i]
		g.Fates = append(g.Fates, f)
		if f.At.After(g.Last) {
			g.Last = f.At
		}
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return Weight(a.Fates[0].State) - Weight(b.Fates[0].State) })
	names := map[string]int{}
	for i := range groups {
		g := &groups[i]
		g.Fold = len(list) > fewAll && len(g.Fates) > fewSame
		name := string(g.Fates[0].State) + "-" + g.Fates[0].Upstream
		names[name]++
		g.Key = fmt.Sprintf("%s-%d", name, names[name])
	}
	return groups
}

// Weight orders states: what needs attention is the least.
func Weight(s envelope.State) int {
	return slices.Index([]envelope.State{envelope.Failed, envelope.Bounced, envelope.Complained, envelope.Held, envelope.Queued, envelope.Sent,
		envelope.Delivered, envelope.Discarded, envelope.Refused}, s)
}

// Unnamed is a text with … in place of the names of recipients.
func Unnamed(text string, names ...string) string {
	for _, name := range names {
		if name != "" {
			text = strings.ReplaceAll(text, name, "…")
		}
	}
	return text
}

// State is that of all recipients of the group.
func (g *Group) State() envelope.State { return g.Fates[0].State }

// Words is the sentence for all of them, as of more than one.
func (g *Group) Words() string {
	words := g.Fates[0].Words
	if rest, ok := strings.CutPrefix(words, "waits "); ok && len(g.Fates) > 1 {
		return "wait " + rest
	}
	return words
}
