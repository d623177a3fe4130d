package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/mime"
)

// asker asks questions on the terminal.
type asker struct {
	tty *os.File
	in  *bufio.Reader
	out io.Writer
}

func newAsker(a *app) *asker {
	tty := a.stdin.(*os.File) // a terminal is one
	return &asker{tty, bufio.NewReader(tty), a.stderr}
}

const askTries = 3

var errNoAnswer = errors.New("the answers ended: nothing is written")

// ask asks for what the flags have left open.
func (q *asker) ask(s *setup) error {
	var names []string
	for _, k := range setupKinds() {
		names = append(names, k.name)
	}
	if err := q.choice(&s.kind, "Who takes your mail on?", names); err != nil {
		return err
	}
	if err := q.line(&s.from, "From address of your mail, such as App <noreply@example.com> (empty: as programs write it)", "", func(v string) string {
		if list, err := mime.ParseAddressList(v); v != "" && (err != nil || len(list) != 1 || domainOf(list[0].Addr) == "") {
			return "that is not an address"
		}
		return ""
	}); err != nil {
		return err
	}
	for _, k := range setupKinds() {
		if k.name != s.kind {
			continue
		}
		ask := q.api
		if k.name == "smtp" {
			ask = q.relay
		}
		if err := ask(s, k); err != nil {
			return err
		}
	}
	return q.line(&s.root, "Who gets the mail for root (empty: root of the domain above)", "", anything)
}

// api asks what providers with an API need.
func (q *asker) api(s *setup, k setupKind) error {
	if len(k.regions) > 0 {
		if err := q.choice(&s.region, "Which region?", k.regions); err != nil {
			return err
		}
	}
	if k.name == "mailgun" {
		if err := q.line(&s.domain, "Sending domain as Mailgun shows it", s.fromDomain(), something); err != nil {
			return err
		}
	}
	return q.secret(&s.key, "API key (not shown), or where it is kept: env:NAME, file:/path", "env:"+k.keyEnv)
}

// relay asks for host, TLS and login of a relay.
func (q *asker) relay(s *setup, k setupKind) error {
	if err := q.line(&s.host, "Name of the relay", "", something); err != nil {
		return err
	}
	if err := q.choice(&s.tls, "TLS?", []string{"starttls", "implicit", "opportunistic", "none"}); err != nil {
		return err
	}
	port := map[string]string{"starttls": "587", "implicit": "465"}[s.tls]
	if err := q.line(&s.port, "Port", cmp.Or(port, "25"), func(v string) string {
		if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 65535 {
			return "a number from 1 to 65535"
		}
		return ""
	}); err != nil {
		return err
	}
	if err := q.line(&s.user, "User name (empty: no login)", "", anything); err != nil || s.user == "" {
		return err
	}
	return q.secret(&s.key, "Password (not shown), or where it is kept: env:NAME, file:/path", "env:"+k.keyEnv)
}

func anything(string) string { return "" }

func something(v string) string {
	if v == "" {
		return "this one is needed"
	}
	return ""
}

// choice asks for one of a few words; the first one is the default.
func (q *asker) choice(answer *string, question string, words []string) error {
	return q.line(answer, question+" ("+strings.Join(words, ", ")+")", words[0], func(v string) string {
		if !slices.Contains(words, v) {
			return "one of " + strings.Join(words, ", ")
		}
		return ""
	})
}

// line asks for a line, unless a flag has answered. problem says what is wrong with an answer.
func (q *asker) line(answer *string, question, fallback string, problem func(string) string) error {
	if *answer != "" {
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
	return terminal.WithoutEcho(q.tty, func() error {
		err := q.line(answer, question, fallback, anything)
		fmt.Fprintln(q.out)
		return err
	})
}
