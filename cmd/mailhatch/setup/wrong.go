package setup

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// Answers are checked one by one, as the config would be that has them: whoever types one can mend it at once.

// wrong returns what is wrong with an answer to a question of the kind, "" for nothing.
func (s *setup) wrong(question upstream.Question, answer string) string {
	if answer == "" {
		if question.Optional {
			return ""
		}
		return "an answer is required"
	}
	found := split(question, answer)
	var keys []string
	for _, q := range s.kind.Setup {
		if v, ok := found[q.Key]; ok && q.Number && !isNumber(v) {
			return q.Key + " must be a number greater than zero"
		}
		if _, ok := found[q.Key]; ok {
			keys = append(keys, "upstream.main."+q.Key)
		}
	}
	with := *s
	with.answers = maps.Clone(s.answers)
	maps.Copy(with.answers, found)
	return with.problem(answer, keys...)
}

// split returns the answers that one holds, by key.
func split(question upstream.Question, answer string) map[string]string {
	if question.Split != nil && answer != "" {
		return question.Split(answer)
	}
	return map[string]string{question.Key: answer}
}

func (s *setup) wrongFrom(answer string) string {
	if answer == "" {
		return ""
	}
	with := *s
	if with.from = answer; with.fromDomain() == "" {
		return "must be an email address"
	}
	return with.problem(answer, "upstream.main.rewrite_from", "upstream.main.from_domains", "identity.domain", "identity.default_from")
}

func (s *setup) wrongRoot(answer string) string {
	if answer == "" {
		return ""
	}
	with := *s
	with.root = answer
	return with.problem(answer, "aliases.root")
}

// problem returns what the config has against the newest answer, the value of some of its keys.
func (s *setup) problem(answer string, keys ...string) string {
	if hasControls(answer) {
		return "must not have control characters"
	}
	var bad *config.Error
	if !errors.As(s.try(s.config()), &bad) {
		return ""
	}
	for _, p := range bad.Problems {
		if slices.Contains(keys, p.Key) {
			return strings.Join(slices.DeleteFunc([]string{p.Problem, p.Hint}, func(v string) bool { return v == "" }), "; ")
		}
	}
	return ""
}

// hasControls reports whether a text cannot be the value of a key.
func hasControls(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}
