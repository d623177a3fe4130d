package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/mime/lineend"
)

// envelopeFlags are the envelope that `route` and `render` assume.
type envelopeFlags struct {
	from, client, user, listener string
	to                           command.List

	// What envelope makes of them.
	door  *door
	given []envelope.Recipient // as a client would name them
	ended []identity.Ending    // those whose alias leads to no address
}

func (a *app) envelopeFlags(name string) (*envelopeFlags, *flag.FlagSet) {
	fs := a.flags(name)
	e := &envelopeFlags{}
	fs.StringVar(&e.from, "from", "", "envelope sender `address`; \"<>\" is the null sender")
	fs.Var(&e.to, "to", "envelope recipient `address`; may be repeated")
	fs.StringVar(&e.client, "client", "", "IP `address` of the client (default: 127.0.0.1, or one that the listener allows)")
	fs.StringVar(&e.user, "user", "", "AUTH `name`")
	fs.StringVar(&e.listener, "listener", "", "`address` of the listener, as in the config (default: the first, or that of the user)")
	return e, fs
}

// envelope returns the assumed envelope; what is missing is taken from the message.
func (e *envelopeFlags) envelope(cfg *config.Config, msg *mime.Message) (*envelope.Envelope, error) {
	env := &envelope.Envelope{From: cfg.Identity.Qualify(strings.Trim(e.from, "<>"))}
	if e.from == "" && len(msg.From) > 0 {
		env.From = msg.From[0].Addr
	}
	var err error
	if e.door, err = e.findDoor(cfg); err != nil {
		return nil, err
	}
	env.Client = envelope.Client{Addr: e.door.client, User: e.user, Listener: config.BounceName, Protocol: "ESMTP"}
	if e.door.listener != nil {
		env.Client.Listener = e.door.listener.Address
	}
	to := []string(e.to)
	if len(to) == 0 {
		bcc, _ := mime.ParseAddressList(strings.Join(msg.Header.Values("Bcc"), ", ")) // unreadable addresses get nothing
		for _, list := range [][]mime.Address{msg.To, msg.Cc, bcc} {
			for _, addr := range list {
				to = append(to, addr.Addr)
			}
		}
	}
	if len(to) == 0 {
		return nil, command.Usagef("no recipients: use --to ADDRESS, or a message with a To field")
	}
	for _, s := range to {
		e.given = append(e.given, envelope.Recipient{Address: strings.Trim(s, "<>")})
	}
	env.To, e.ended = cfg.Aliases.Expand(cfg.Identity, e.given)
	return env, nil
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
	asJSON := fs.Bool("json", false, "a list in JSON")
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
	all, err := e.explain(ctx, cfg, msg, len(rest) == 1)
	if err != nil {
		return err
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
	if len(all) > 0 && all[0].whole {
		all[0].Refused.print(a.stdout)
		return nil
	}
	for _, x := range all {
		x.print(a.stdout)
	}
	return nil
}

// explain asks at the door, then evaluates the rules for what comes in.
func (e *envelopeFlags) explain(ctx context.Context, cfg *config.Config, msg *mime.Message, sent bool) ([]explanation, error) {
	env, err := e.envelope(cfg, msg)
	if err != nil {
		return nil, err
	}
	whole, refused, err := e.door.ask(ctx, e, env, msg, sent)
	switch {
	case err != nil:
		return nil, err
	case whole != nil:
		return e.refuseAll(whole), nil
	case len(refused) > 0:
		env.To, e.ended = cfg.Aliases.Expand(cfg.Identity, without(e.given, refused))
	}
	all, err := explain(cfg, env, msg, sent)
	if err != nil {
		return nil, err
	}
	for _, ending := range e.ended {
		all = append(all, explanation{To: ending.Recipient.Address, Given: ending.Recipient.Given, Decision: endingText(ending)})
	}
	for _, r := range e.given {
		if why, is := refused[r.Address]; is {
			all = append(all, refusedAt(r.Address, &why))
		}
	}
	return all, nil
}

// explain evaluates the rules that rewrite, then the routes, and what their upstreams think of a message that was sent.
func explain(cfg *config.Config, env *envelope.Envelope, msg *mime.Message, sent bool) ([]explanation, error) {
	if len(env.To) == 0 { // aliases leave nothing to decide
		return nil, nil
	}
	before := env.To
	msg, rewrites, err := accept.Prepare(cfg, env, msg, "EXPLAINED")
	if err != nil {
		return nil, err
	}
	all := make([]explanation, len(env.To))
	in := route.NewInput("", env, msg, msg.Source.Size())
	for i, rcpt := range env.To {
		in.To = rcpt.Address
		verdicts, decision := cfg.Routes.Explain(in)
		all[i] = explanation{To: rcpt.Address, Given: rcpt.Given, Rewrites: rewrites, Verdicts: verdicts, Decision: decisionText(decision), via: decision.Via}
		all[i].rewritten = !slices.ContainsFunc(before, func(r envelope.Recipient) bool { return r.Address == rcpt.Address })
		all[i].Copy = all[i].rewritten && rcpt.Given == ""
	}
	if sent {
		askUpstreams(cfg, env, msg, all)
	}
	return all, nil
}

// askUpstreams adds which upstreams cannot carry the message, so that others get it; each is asked once for all its recipients.
func askUpstreams(cfg *config.Config, env *envelope.Envelope, msg *mime.Message, all []explanation) {
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		var to []envelope.Recipient
		for j := range all {
			if slices.Contains(all[j].via, u.Name) {
				to = append(to, env.To[j])
			}
		}
		if len(to) == 0 {
			continue
		}
		why := accept.Unfit(u, "EXPLAINED", env, msg, to)
		for j := range all {
			if why != nil && slices.Contains(all[j].via, u.Name) {
				all[j].Unfit = append(all[j].Unfit, unfit{u.Name, why.Error()})
			}
		}
	}
}

// explanation is the answer for one recipient.
type explanation struct {
	To       string          `json:"to"`
	Given    string          `json:"given,omitempty"` // before aliases and rewriting
	Copy     bool            `json:"copy,omitempty"`  // added by a rule; gets no notifications
	Decision string          `json:"decision"`
	Verdicts []route.Verdict `json:"verdicts"`
	Refused  *refusal        `json:"refused,omitempty"` // before any rule was asked

	Rewrites []route.RewriteVerdict `json:"rewrites,omitempty"` // of the message: the same for all its recipients

	Unfit  []unfit   `json:"unfit,omitempty"`  // upstreams that cannot carry the message
	Quotas []quotaOf `json:"quotas,omitempty"` // of the upstreams in their order

	via       []string
	rewritten bool // a rule named this recipient
	whole     bool // what was refused is the message
}

// unfit is an upstream that cannot carry a message.
type unfit struct {
	Upstream string `json:"upstream"`
	Why      string `json:"why"`
}

func (x *explanation) print(w io.Writer) {
	fmt.Fprint(w, x.To)
	switch {
	case x.Copy:
		fmt.Fprint(w, " (a copy)")
	case x.rewritten:
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
	if len(x.via) > 0 && len(x.Unfit) == len(x.via) {
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

func decisionText(d route.Decision) string {
	name := cmp.Or(d.Name, "no route matches")
	switch d.Action {
	case route.Deliver:
		return name + ": via " + strings.Join(d.Via, ", then ")
	case route.Reject:
		return name + ": reject " + d.Reply.Error()
	}
	return name + ": " + d.Action.String()
}

// endingText says what an alias without an address does.
func endingText(e identity.Ending) string {
	switch e.State {
	case envelope.Discarded:
		return "alias: discard"
	case envelope.Held:
		return "alias: hold: " + e.Why
	}
	return "alias: reject: " + e.Why
}
