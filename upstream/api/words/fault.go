// Package words reads what providers write in their refusals: that the account is at fault where the status would
// blame the mail, and when to come back.
package words

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/upstream"
)

// Fault is what a refusal is about when it is not about the mail.
type Fault struct {
	Class  upstream.Class // Account or Throttled
	Wait   time.Duration  // at least
	Sender bool           // as in upstream.Error
}

// foreign are names, addresses and quotations, in which a mail can have a hand, and where to read on.
var foreign = regexp.MustCompile(`\b(?:by|via|with|using|through|following|follow|click|clicking|use|see|visit|at)(?: on)? (?:the|this|our) (?:link|url)|` +
	`"[^"]*"|\s'[^']*\s[^']*'|\[[^\]]*\]|<[^>]*>|\S*(?:@|\.\w)\S*`)

// parts are what a refusal of the mail itself is about.
var parts = regexp.MustCompile("\\b(?:recipients?|recipient's|contact's|user's|mailbox(?:es)?|addressee|destinations?|tried to reach|send(?:ing)? to|" +
	"to (?:address(?:es)?|field|parameter)|subject|attachments?|headers?|size|categor(?:y|ies)|tags?|custom[_ ]args?|variables?|templates?|content|body|" +
	"file(?:name)?s?|personalizations?|b?cc|idempotency|urls?|links?)\\b|['`]to['`]")

// echoes are where a refusal repeats the words of a mail, which could be any.
var echoes = regexp.MustCompile(`\b(?:subject:|(?:subject (?:line|field|header)|the subject|(?:file|display|from|attachment) ?name)\b)`)

// full writes short forms in full, so that a row needs one of them.
var full = strings.NewReplacer("can't", "cannot", "can’t", "cannot", "n't", " not", "n’t", " not")

var sentenceEnd = regexp.MustCompile(`[.;!?\n]`)

const looked = 2000 // bytes of a message; what providers say first is what it is about

// Meaning returns what a provider's message is about when it is not about the mail; ok is false where that is not sure.
func Meaning(message string) (f Fault, ok bool) {
	message = strings.ToLower(message[:min(len(message), looked)])
	if echoes.MatchString(message) {
		return f, false
	}
	if _, named := Wait(message, time.Time{}); named {
		return throttled, true
	}
	message = foreign.ReplaceAllString(full.Replace(message), "x")
	sentences := sentenceEnd.Split(message, -1)
	if f, ok = find(compiled.certain(), sentences); ok || parts.MatchString(message) {
		return f, ok
	}
	return find(compiled.likely(), sentences)
}

// compiled are the rows' expressions; few programs' runs meet a refusal.
var compiled = struct{ certain, likely func() []phrase }{
	sync.OnceValue(func() []phrase { return compile(certain) }),
	sync.OnceValue(func() []phrase { return compile(likely) }),
}

type phrase struct {
	words []*regexp.Regexp
	fault Fault
}

func compile(rows []row) (list []phrase) {
	for _, r := range rows {
		p := phrase{fault: r.fault}
		for _, s := range []string{r.about, r.says, r.also} {
			if s != "" {
				p.words = append(p.words, regexp.MustCompile(`\b(?:`+s+`)\b`))
			}
		}
		list = append(list, p)
	}
	return list
}

// find returns the fault of the first phrase that a sentence has.
func find(phrases []phrase, sentences []string) (f Fault, ok bool) {
	for _, p := range phrases {
		if slices.ContainsFunc(sentences, p.in) {
			return p.fault, true
		}
	}
	return f, false
}

func (p phrase) in(sentence string) bool {
	return !slices.ContainsFunc(p.words, func(w *regexp.Regexp) bool { return !w.MatchString(sentence) })
}
