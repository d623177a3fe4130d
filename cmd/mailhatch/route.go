package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/explain"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/mime/lineend"
)

// envelopeFlags returns the flags that say which envelope `route` and `render` assume.
func (a *app) envelopeFlags(name string) (*explain.Case, *flag.FlagSet) {
	fs := a.flags(name)
	c := &explain.Case{}
	fs.StringVar(&c.From, "from", "", "envelope sender `address`; \"<>\" is the null sender")
	fs.Var((*command.List)(&c.To), "to", "envelope recipient `address`; may be repeated")
	fs.StringVar(&c.Client, "client", "", "IP `address` of the client (default: 127.0.0.1, or one that the listener allows)")
	fs.StringVar(&c.User, "user", "", "AUTH `name`")
	fs.StringVar(&c.Listener, "listener", "", "`address` of the listener, as in the config (default: the first, or that of the user)")
	return c, fs
}

// misused makes what is wrong with a case an error of usage.
func misused(err error) error {
	if m, ok := errors.AsType[*explain.Mistake](err); ok {
		return command.Usagef("%s", m.Error())
	}
	return err
}

// readMessage reads a message from a file, "-" is standard input, "" no message at all. It is held in memory once.
func (a *app) readMessage(path string) (*mime.Message, error) {
	var raw io.ReaderAt
	var size int64
	switch path {
	case "":
		raw, size = strings.NewReader("\r\n"), 2
	case "-":
		b, err := io.ReadAll(a.stdin)
		if err != nil {
			return nil, err
		}
		raw, size = bytes.NewReader(b), int64(len(b))
	default:
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		if raw, size, err = seekable(f); err != nil {
			return nil, err
		}
	}
	message := func() io.Reader { return lineend.Message(io.NewSectionReader(raw, 0, size)) }
	length, err := io.Copy(io.Discard, message())
	if err != nil {
		return nil, err
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(message(), b); err != nil {
		return nil, fmt.Errorf("%s changes while it is read: %w", path, err)
	}
	return mime.Parse(bytes.NewReader(b))
}

// seekable returns what can be read more than once, and its size: a file, or what a pipe has given.
func seekable(f *os.File) (io.ReaderAt, int64, error) {
	st, err := f.Stat()
	if err == nil && st.Mode().IsRegular() {
		return f, st.Size(), nil
	}
	b, err := io.ReadAll(f)
	return bytes.NewReader(b), int64(len(b)), err
}

// runRoute shows for each recipient which rule decides, and why each earlier one does not.
func runRoute(ctx context.Context, a *app, args []string) error {
	e, fs := a.envelopeFlags("route")
	asJSON := fs.Bool("json", false, "one JSON array")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return command.Usagef("route takes one message file, got %q too", rest[1])
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	a.warnLacking(cfg.Upstreams...)
	msg, err := a.readMessage(append(rest, "")[0])
	if err != nil {
		return err
	}
	answers, err := e.Explain(ctx, cfg, msg, len(rest) == 1)
	if err != nil {
		return misused(err)
	}
	var all []explanation
	for _, x := range answers {
		all = append(all, explanation{Answer: x})
	}
	a.addQuotas(ctx, cfg, all)
	if *asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	if len(all) > 0 {
		printRewrites(a.stdout, all[0].Rewrites)
	}
	if len(all) > 0 && all[0].Whole {
		printRefusal(a.stdout, all[0].Refused)
		return nil
	}
	for _, x := range all {
		x.print(a.stdout)
	}
	return nil
}

// explanation is the answer for one recipient, and what is left of the quotas on its way.
type explanation struct {
	explain.Answer
	Quotas []quotaOf `json:"quotas,omitempty"` // of the upstreams in their order
}

func (x *explanation) print(w io.Writer) {
	fmt.Fprint(w, x.To)
	switch {
	case x.Copy:
		fmt.Fprint(w, " (a copy)")
	case x.Rewritten:
		fmt.Fprintf(w, " (instead of %s)", x.Given)
	case x.Given != "" && x.Given != x.To:
		fmt.Fprintf(w, " (alias of %s)", x.Given)
	}
	fmt.Fprintf(w, ": %s\n", x.Decision)
	if x.Refused != nil && x.Refused.Why != "" {
		fmt.Fprintf(w, "  %s\n", x.Refused.Why)
	}
	for _, u := range x.Unfit {
		fmt.Fprintf(w, "  %s cannot carry it: %s\n", u.Upstream, u.Why)
	}
	if len(x.Via) > 0 && len(x.Unfit) == len(x.Via) {
		fmt.Fprintln(w, "  so it is refused")
	}
	for _, q := range x.Quotas {
		fmt.Fprintf(w, "  quota of %s: %s\n", q.Upstream, q.text())
	}
	for _, v := range x.Verdicts {
		fmt.Fprint(w, "  ")
		printVerdict(w, v, "decides")
	}
}

// printVerdict writes whether a rule matches, and why.
func printVerdict(w io.Writer, v route.Verdict, matches string) {
	if !v.Matched {
		matches = "does not match"
	}
	fmt.Fprintf(w, "%s %s", v.Name, matches)
	if len(v.Why) > 0 {
		fmt.Fprintf(w, ": %s", strings.Join(v.Why, "; "))
	}
	fmt.Fprintln(w)
}

// printRewrites shows which rules change the message, how, and why others do not.
func printRewrites(w io.Writer, verdicts []route.RewriteVerdict) {
	for _, v := range verdicts {
		printVerdict(w, v.Verdict, "applies")
		for _, change := range v.Changes {
			fmt.Fprintf(w, "  %s\n", change)
		}
	}
}

// printRefusal writes what a listener refuses.
func printRefusal(w io.Writer, r *explain.Refusal) {
	fmt.Fprintf(w, "%s: %s\n", r.Command, r.Reply)
	if r.Why != "" {
		fmt.Fprintf(w, "  %s\n", r.Why)
	}
}
