package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue/engines"
)

const hintUser = "run this as root or as the user that mailhatch runs as, such as with sudo; mailq lists your own mail"

// view returns the running gateway's view of itself or, if none runs, what is in its state
// directory. The caller must call done.
func (a *app) view(ctx context.Context) (v api.View, done func(), err error) {
	client, stateDir, err := a.client(ctx)
	if err == nil {
		return client, client.Close, nil
	}
	if !errors.Is(err, api.ErrNotRunning) {
		return nil, nil, err
	}
	engine, settings, err := a.storeOf(stateDir)
	if err != nil {
		return nil, nil, err
	}
	store, err := engines.Read(ctx, engine, settings)
	switch {
	case errors.Is(err, fs.ErrNotExist) && hasMaildrop(stateDir):
		if _, err := maildrop.Look(stateDir, 0); errors.Is(err, fs.ErrPermission) {
			return nil, nil, command.Hintf(err, hintUser)
		}
		return admin.Reader{Queue: admin.NoQueue{}, Maildrop: lookAt(stateDir)}, func() {}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, command.Hintf(fmt.Errorf("the gateway is not running and %s contains no queue", stateDir),
			"start it with mailhatch serve, or name its config with -c")
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, command.Hintf(err, hintUser)
	case err != nil:
		return nil, nil, err
	}
	return admin.Reader{Queue: store, Maildrop: lookAt(stateDir)}, func() { _ = store.Close() }, nil
}

// hasMaildrop reports whether there is a maildrop: packages make one before the gateway has ever run.
func hasMaildrop(stateDir string) bool {
	info, err := os.Stat(filepath.Join(stateDir, maildrop.DirName))
	return err == nil && info.IsDir()
}

// lookAt returns what looks at the maildrop of a stopped gateway.
func lookAt(stateDir string) func(most int) (*maildrop.Waiting, error) {
	return func(most int) (*maildrop.Waiting, error) { return maildrop.Look(stateDir, most) }
}

// client returns a connection to the running gateway, and its state directory. It asks only for the
// directories of the config: secrets that the gateway was started with need not be known here.
func (a *app) client(ctx context.Context) (c *api.Client, stateDir string, err error) {
	stateDir, runDir, err := a.dirs()
	if err != nil {
		return nil, "", err
	}
	c = api.NewClient(sock.Find(ctx, stateDir, runDir))
	if err := c.Ping(ctx); err != nil {
		c.Close()
		switch {
		case errors.Is(err, fs.ErrPermission):
			err = command.Hintf(err, hintUser)
		case errors.Is(err, api.ErrNotRunning):
			err = command.Hintf(err, "this needs a running gateway: start it with mailhatch serve, or name its config with -c")
		}
		return nil, stateDir, err
	}
	return c, stateDir, nil
}

// dirs returns the directories of the gateway.
func (a *app) dirs() (stateDir, runDir string, err error) {
	if a.stateDir != "" {
		return a.stateDir, a.runDir, nil
	}
	return config.Dirs(config.Find(a.configPath))
}

// printJSON writes one line for programs.
func (a *app) printJSON(v any) error { return json.NewEncoder(a.stdout).Encode(v) }

// printLines writes one line for each of a list.
func printLines[T any](a *app, list []T) error {
	for i := range list {
		if err := a.printJSON(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// status asks how the gateway is, or what its queue holds while it is stopped.
func (a *app) status(ctx context.Context) (*api.Status, error) {
	v, done, err := a.view(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return v.Status(ctx)
}

// runStatus shows upstreams and queue.
func runStatus(ctx context.Context, a *app, args []string) error {
	flags := a.flags("status")
	asJSON := flags.Bool("json", false, "one JSON object")
	if err := command.ParseAlone(flags, args); err != nil {
		return err
	}
	s, err := a.status(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return a.printJSON(s)
	}
	return a.printStatus(s)
}

func (a *app) printStatus(s *api.Status) error {
	if !s.Running {
		fmt.Fprint(a.stdout, "the gateway is not running; this is in its state directory\n\n")
	} else {
		fmt.Fprintf(a.stdout, "mailhatch %s on %s, running for %s\n", terminal.Plain(s.Version), terminal.Plain(s.Hostname), terminal.Ago(s.Started))
		for _, reason := range s.NotReady {
			fmt.Fprintln(a.stdout, "not ready:", terminal.Plain(reason))
		}
		fmt.Fprintln(a.stdout)
	}
	if len(s.Upstreams) > 0 {
		if err := upstreamTable(s.Upstreams).Write(a.stdout); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout)
	}
	t := &terminal.Table{Head: []string{"QUEUE", "PARTS", "SIZE", "OLDEST"}}
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		q := s.Queue[state]
		t.Row(string(state), strconv.Itoa(q.Parts), terminal.Size(q.Bytes), terminal.Ago(q.Oldest))
	}
	notes := s.Store.Notes
	if d := s.Maildrop; d != nil {
		t.Row(string(api.InMaildrop), strconv.Itoa(d.Messages), terminal.Size(d.Bytes), terminal.Ago(d.Oldest))
		if d.Refused > 0 {
			notes = append(notes, fmt.Sprintf("%s of the maildrop could not be taken in: see the log, and %s", terminal.Count(d.Refused, "message"), d.RefusedDir))
		}
	}
	if err := t.Write(a.stdout); err != nil {
		return err
	}
	a.printStore(&s.Store, notes)
	return nil
}

// printStore shows what is not as it should be with the store.
func (a *app) printStore(s *api.StoreStatus, notes []string) {
	if s.Aside > 0 {
		notes = append(notes, fmt.Sprintf("bodies without a message that were set aside: %d, with reports, in %s (see mailhatch recover)", s.Aside, s.AsideDir))
	}
	for i, note := range notes {
		if i == 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintln(a.stdout, "store:", terminal.Plain(note))
	}
}

func upstreamTable(list []api.Upstream) *terminal.Table {
	t := &terminal.Table{Head: []string{"UPSTREAM", "TYPE", "STATE", "IN FLIGHT", "RATE", "QUEUED", "NEXT"}}
	for _, u := range list {
		busy, next, state := strconv.Itoa(u.InFlight), "-", u.State
		if u.PausedBy != "" {
			state = "paused"
		}
		if u.MaxConcurrent > 0 {
			busy += "/" + strconv.Itoa(u.MaxConcurrent)
		}
		switch {
		case u.PausedBy != "":
		case u.NextProbe.After(time.Now()), u.State == "closed": // whatever is due waits for it
			next = terminal.Until(u.NextProbe)
		case u.Queued > 0:
			next = terminal.Until(u.NextAt)
		}
		t.Row(cmp.Or(u.Name, "(none)"), terminal.OrDash(u.Kind), terminal.OrDash(state), busy, terminal.OrDash(u.RateText()), strconv.Itoa(u.Queued), next)
		switch {
		case u.Name == waiting.DigestLane:
			t.Note(waiting.InDigest)
		case u.State == "" && u.Queued > 0:
			t.Note("no gateway serves this upstream")
		case u.PausedBy != "":
			t.Note(u.Why + "; mailhatch upstream resume " + u.Name + " goes on")
		case u.State != "" && u.State != "open":
			t.Note(closedNote(&u))
		}
		for i := range u.Refuses {
			if i == refusedShown {
				t.Note(fmt.Sprintf("and of %d more", len(u.Refuses)-i))
				break
			}
			t.Note(refusedNote(&u.Refuses[i]))
		}
		for _, q := range u.Quota {
			t.Note(quotaText(q))
		}
		if u.LastError != "" {
			t.Note("last error: " + terminal.Clip(u.LastError, 300))
		}
		for _, e := range u.Expiries {
			t.Note(expiryNote(&e))
		}
		if e := u.Events; e != nil && e.Error != "" {
			t.Note("events: nothing is learned for " + terminal.Ago(e.Since) + ": " + terminal.Clip(e.Error, 300))
		}
		if c := u.Canary; c != nil {
			t.Note("canary: none has arrived for " + terminal.Ago(c.Since) + ": " + terminal.Clip(c.Why, 300))
		}
	}
	return t
}

// refusedShown is how many senders are shown that an upstream refuses.
const refusedShown = 5

// refusedNote tells whose mail an upstream refuses, and when that is tried again.
func refusedNote(r *api.Refused) string {
	return "refuses mail from " + r.From + ": " + terminal.Clip(r.Error, 300) + "; next try " + terminal.Until(r.Next)
}

// closedNote tells why an upstream is not open, and what comes next.
func closedNote(u *api.Upstream) string {
	note := u.State + " for " + terminal.Ago(u.Since) + ": " + u.Reason
	switch {
	case u.NextProbe.IsZero():
	case u.Reason == "quota":
		note += "; it opens " + terminal.Until(u.NextProbe)
	default:
		note += "; next probe " + terminal.Until(u.NextProbe)
	}
	return note
}

// expiryNote tells how long an upstream can log in.
func expiryNote(e *api.Expiry) string {
	note := e.Name + ": "
	switch {
	case e.At.IsZero():
		note += "none yet"
	case time.Now().After(e.At):
		note += "ended " + terminal.Ago(e.At) + " ago"
	case e.Renewed:
		note += terminal.Ago(e.Since) + " old, ends " + terminal.Until(e.At)
	default:
		note += "ends " + terminal.Until(e.At) + ", on " + e.At.Local().Format(time.DateOnly)
	}
	if e.Error != "" {
		note += "; not renewed: " + terminal.Clip(e.Error, 300)
	}
	return note
}
