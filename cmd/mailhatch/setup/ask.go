package setup

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/upstream"
)

// asker asks questions on the terminal.
type asker struct {
	tty *os.File
	in  *bufio.Reader
	out io.Writer
}

func newAsker(e *Env) *asker {
	tty := e.Stdin.(*os.File) // a terminal is one
	return &asker{tty, bufio.NewReader(tty), e.Stderr}
}

const askTries = 3

var errNoAnswer = errors.New("no valid answer: nothing was written")

// begin asks for what comes before the questions of a kind.
func (q *asker) begin(s *setup, kind *string, offered []upstream.Kind) error {
	if err := q.choice(kind, "Which provider sends your mail?", strings.Split(kindNames(offered), ", ")); err != nil {
		return err
	}
	return q.line(&s.from, "From address of your mail, such as App <noreply@example.com> (empty: as programs write it)", "", func(v string) string {
		if v != "" && (&setup{from: v}).fromDomain() == "" {
			return "must be an email address"
		}
		return ""
	})
}

// ask asks a question of the kind.
func (q *asker) ask(answer *string, question upstream.Question, fallback string) error {
	switch {
	case question.Words != nil:
		return q.choice(answer, question.Text, question.Words)
	case question.Secret:
		return q.secret(answer, question.Text, fallback)
	}
	return q.line(answer, question.Text, fallback, func(v string) string {
		switch {
		case v == "" && !question.Optional:
			return "an answer is required"
		case v != "" && question.Number && !isNumber(v):
			return "must be a number greater than zero"
		}
		return ""
	})
}

func anything(string) string { return "" }

// choice asks for one of a few words; the first one is the default.
func (q *asker) choice(answer *string, question string, words []string) error {
	return q.line(answer, question+" ("+strings.Join(words, ", ")+")", words[0], func(v string) string {
		if !slices.Contains(words, v) {
			return "must be one of " + strings.Join(words, ", ")
		}
		return ""
	})
}

// line asks for a line, unless a flag has answered or q is nil. problem returns what is wrong with an answer.
func (q *asker) line(answer *string, question, fallback string, problem func(string) string) error {
	if *answer != "" || q == nil {
		return nil
	}
	for range askTries {
		if fallback != "" {
			fmt.Fprintf(q.out, "%s [%s]: ", question, fallback)
		} else {
			fmt.Fprintf(q.out, "%s: ", question)
		}
		text, err := q.in.ReadString('\n')
		if err != nil {
			return errNoAnswer
		}
		text = cmp.Or(strings.TrimSpace(text), fallback)
		wrong := problem(text)
		if wrong == "" {
			*answer = text
			return nil
		}
		fmt.Fprintln(q.out, "  "+wrong)
	}
	return errNoAnswer
}

// secret asks for a line that is not shown while it is typed.
func (q *asker) secret(answer *string, question, fallback string) error {
	if q == nil {
		return nil
	}
	return terminal.WithoutEcho(q.tty, func() error {
		err := q.line(answer, question, fallback, anything)
		fmt.Fprintln(q.out)
		return err
	})
}
