package main

import (
	"fmt"
	"io"
	"strings"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/trial"
)

// triedLine counts the messages that were tried, and those that were not though they are due, as their upstream is paused, say.
func triedLine(c *api.Changed) string {
	if c.More {
		return "more than " + terminal.Count(c.Changed, "message") + " due now"
	}
	waits := map[string]bool{} // false: at least one recipient was tried
	for i := range c.Tried {
		f := &c.Tried[i]
		still, known := waits[f.ID]
		waits[f.ID] = (still || !known) && (f.Outcome == trial.Waits || f.Outcome == trial.Held)
	}
	n := 0
	for _, still := range waits {
		if still {
			n++
		}
	}
	line := terminal.Count(c.Changed-n, "message") + " tried now"
	if n > 0 {
		line += fmt.Sprintf(", %d still %s", n, oneOrMore(n, "waits", "wait"))
	}
	return line
}

const maxTried = 20 // messages that get a line each

// printTried says what became of mail that was made due: of each message or, of many, how many went the same way.
func printTried(w io.Writer, c *api.Changed) {
	list := c.Tried
	ids := map[string]bool{}
	for i := range list {
		ids[list[i].ID] = true
	}
	if len(ids) > 0 && len(ids) < c.Changed {
		fmt.Fprintf(w, "of the first %d:\n", len(ids))
	}
	if len(list) <= maxTried {
		for i := range list {
			f := &list[i]
			to := strings.Join(f.To[:min(len(f.To), 3)], ", ")
			if n := len(f.To) - 3; n > 0 {
				to += fmt.Sprintf(" +%d", n)
			}
			fmt.Fprintln(w, terminal.Plain("  "+f.ID+" to "+to+": "+fateText(f)))
		}
		return
	}
	count := map[string]int{}
	var order []string
	for i := range list {
		text := fateText(&list[i])
		if count[text] == 0 {
			order = append(order, text)
		}
		count[text] += len(list[i].To)
	}
	for i, text := range order {
		if i == maxTried {
			fmt.Fprintln(w, "  and others; --json shows them all")
			return
		}
		fmt.Fprintln(w, terminal.Plain("  "+terminal.Count(count[text], "recipient")+": "+text))
	}
}

// fateText says what became of recipients.
func fateText(f *trial.Fate) string {
	switch f.Outcome {
	case trial.Sent:
		return "sent by " + f.Upstream
	case trial.Refused:
		return "still refused by " + f.Upstream + ": " + f.Words
	case trial.Uncertain:
		return f.Upstream + " may have taken it: " + f.Words
	case trial.Waits:
		return "still waits: " + f.Words
	case trial.Held:
		return f.Words + "; mailhatch queue release lets it go"
	case trial.Failed:
		return "given up: " + f.Words
	}
	return string(f.Outcome)
}
