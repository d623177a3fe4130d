package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/upstream"
)

// asker asks questions on the terminal.
type asker struct {
	ctx context.Context // ends when the person interrupts
	tty *os.File
	in  *terminal.Lines
	out io.Writer
}

func newAsker(ctx context.Context, e *Env) *asker {
	tty := e.Stdin.(*os.File) // a terminal is one
	return &asker{ctx, tty, terminal.NewLines(tty), e.Stderr}
}

const askTries = 3

var errNoAnswer = errors.New("no valid answer: nothing was written")

// ask asks a question of the kind.
func (q *asker) ask(answer *string, question upstream.Question, fallback string, problem func(string) string) error {
	switch {
	case question.Words != nil:
		return q.choice(answer, question.Text, question.Words)
	case question.Secret:
		return q.secret(answer, question.Text, fallback, problem)
	}
	return q.line(answer, question.Text, fallback, problem)
}

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
		text, err := q.in.Next(q.ctx)
		switch {
		case q.ctx.Err() != nil:
			fmt.Fprintln(q.out)
			return fmt.Errorf("%w: nothing was written", command.ErrInterrupted)
		case err != nil:
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
func (q *asker) secret(answer *string, question, fallback string, problem func(string) string) error {
	if q == nil {
		return nil
	}
	return terminal.WithoutEcho(q.tty, func() error {
		err := q.line(answer, question, fallback, problem)
		fmt.Fprintln(q.out)
		return err
	})
}
