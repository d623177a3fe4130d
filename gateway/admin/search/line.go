package search

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"mailhatch/gateway/queue"
)

// Word is one word of a search line: what it is compared with, and the value. Of `to:bob` the name is "to"; a word
// without a name has got one.
type Word struct{ Name, Value string }

// Names returns the names that words may have, as the flags of commands have them too.
func Names() []string {
	return []string{"id", "state", "upstream", "from", "to", "subject", "since", "until", "older", "message-id", "provider-id"}
}

// Line is a search line that was understood.
type Line struct {
	Words []Word // in their order

	ID, State, Upstream, From, To, Subject, MessageID, ProviderID string
	Since, Until                                                  time.Time
}

// Parse reads a search line, such as
//
//	to:bob state:failed since:2h "your order"
//
// Values with blanks stand in quotes. A word without a name is looked for in recipients if it has an @, is a Message-ID if
// it stands in angle brackets, a message if it is a queue id, and else words of the subject. since and until are times as [Since] and [Until] read them; older is until, by another name.
func Parse(line string, now time.Time) (*Line, error) {
	l := &Line{}
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		if err := l.take(w, now); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// take adds a word to the line.
func (l *Line) take(w Word, now time.Time) (err error) {
	if w.Name == "" {
		w.Name = nameOf(w.Value)
	}
	if w.Value == "" {
		return fmt.Errorf("%s: says nothing to look for", w.Name)
	}
	var field *string
	switch w.Name {
	case "id":
		field = &l.ID
	case "state":
		if w.Value, field = stateOf(w.Value), &l.State; !slices.Contains(states(), w.Value) {
			return fmt.Errorf("state:%s is not a state; the states are %s", w.Value, strings.Join(states(), ", "))
		}
	case "upstream":
		field = &l.Upstream
	case "from":
		field = &l.From
	case "to":
		field = &l.To
	case "subject":
		if l.Subject != "" { // words that all must be there
			w.Value, l.Words = l.Subject+" "+w.Value, without(l.Words, "subject")
			l.Subject = ""
		}
		field = &l.Subject
	case "message-id":
		field = &l.MessageID
	case "provider-id":
		field = &l.ProviderID
	case "since":
		l.Since, err = Since(w.Value, now)
	case "until", "older":
		l.Until, err = Until(w.Value, now)
	default:
		return fmt.Errorf("there is no search word %q; the words are %s", w.Name+":", strings.Join(Names(), ":, ")+":")
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", w.Name, err)
	case field != nil && *field != "":
		return fmt.Errorf("%s: is there twice", w.Name)
	case field != nil:
		*field = w.Value
	}
	l.Words = append(l.Words, w)
	return nil
}

func without(words []Word, name string) []Word {
	return slices.DeleteFunc(words, func(w Word) bool { return w.Name == name })
}

// nameOf guesses what a word without a name is.
func nameOf(value string) string {
	switch {
	case strings.HasPrefix(value, "<") && strings.HasSuffix(value, ">") && strings.Contains(value, "@"):
		return "message-id"
	case strings.Contains(value, "@") && !strings.Contains(value, " "):
		return "to"
	}
	if _, ok := queue.ParseID(value); ok && strings.ContainsAny(value, "0123456789") {
		return "id"
	}
	return "subject"
}

// states are those that mail can be in, waiting or not.
func states() []string {
	return []string{"queued", "held", "failed", "sent", "delivered", "bounced", "complained", "discarded", "refused", "maildrop"}
}

// stateOf takes the words that people see for the names that states have.
func stateOf(value string) string {
	switch value = strings.ToLower(value); value {
	case "waits", "waiting", "deferred":
		return "queued"
	case "accepted":
		return "sent"
	case "deleted":
		return "discarded"
	}
	return value
}

// split divides a line into words.
func split(line string) (words []Word, err error) {
	rest := []rune(line)
	for {
		for len(rest) > 0 && unicode.IsSpace(rest[0]) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return words, nil
		}
		var w Word
		if n := slices.IndexFunc(rest, func(r rune) bool { return r != '-' && r != '_' && !unicode.IsLetter(r) }); n > 0 && rest[n] == ':' {
			w.Name, rest = strings.ReplaceAll(strings.ToLower(string(rest[:n])), "_", "-"), rest[n+1:]
		}
		if w.Value, rest, err = value(rest); err != nil {
			return nil, err
		}
		words = append(words, w)
	}
}

// value reads a value and returns what follows it.
func value(s []rune) (string, []rune, error) {
	if len(s) > 0 && s[0] == '"' {
		end := slices.Index(s[1:], '"')
		if end < 0 {
			return "", nil, fmt.Errorf("the quotes that begin at %s do not end", string(s))
		}
		return strings.TrimSpace(string(s[1 : 1+end])), s[2+end:], nil
	}
	end := slices.IndexFunc(s, unicode.IsSpace)
	if end < 0 {
		end = len(s)
	}
	return string(s[:end]), s[end:], nil
}

// Join writes words as a line that Parse reads.
func Join(words []Word) string {
	list := make([]string, len(words))
	for i, w := range words {
		v := w.Value
		if strings.ContainsFunc(v, unicode.IsSpace) {
			v = `"` + strings.ReplaceAll(v, `"`, "") + `"`
		}
		list[i] = w.Name + ":" + v
	}
	return strings.Join(list, " ")
}
