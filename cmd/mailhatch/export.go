package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/queue"
)

// queueExport writes messages of the queue to a directory: ID.eml as it is stored, and ID.json with what queue show
// knows. It replaces no file.
func queueExport(ctx context.Context, a *app, args []string) error {
	fs := a.flags("queue export")
	var parts partFlags
	parts.define(fs, "to")
	asJSON := fs.Bool("json", false, "one JSON object")
	rest, err := command.Parse(fs, args)
	if err == nil {
		err = parts.check()
	}
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return command.Usagef("queue export: name a directory")
	}
	dir, ids := rest[0], rest[1:]
	v, done, err := a.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	parts.tell(a.stderr)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	e := exporter{view: v, seen: map[string]bool{}, Exported: Exported{Dir: dir, New: []string{}, There: []string{}, Gone: []string{}}}
	f := parts.filter(nil)
	if len(ids) > 0 {
		f.IDs = ids
	}
	err = eachMessage(ctx, v, f, func(m *api.Message) error { return e.export(ctx, m) })
	if err != nil {
		return err
	}
	if *asJSON {
		err = a.printJSON(e.Exported)
	} else {
		_, err = fmt.Fprintln(a.stdout, e.words())
	}
	missing := slices.DeleteFunc(ids, func(id string) bool { return e.seen[strings.ToUpper(id)] })
	if err == nil && len(missing) > 0 && !parts.given() {
		return noSuch(missing...)
	}
	return err
}

// Exported is what queue export did.
type Exported struct {
	Dir   string   `json:"dir"`
	New   []string `json:"new"`   // ids of messages whose files were written
	There []string `json:"there"` // that had them already
	Gone  []string `json:"gone"`  // that left the queue meanwhile

	Maildrop int `json:"maildrop,omitempty"` // messages that wait to be taken in, and are left out
}

type exporter struct {
	Exported
	view api.View
	seen map[string]bool
}

func (e *exporter) words() string {
	s := fmt.Sprintf("%s exported to %s", terminal.Count(len(e.New), "message"), terminal.Plain(e.Dir))
	if n := len(e.There); n > 0 {
		s += fmt.Sprintf("; %s there already: left as they are", terminal.Count(n, "message"))
	}
	if e.Maildrop > 0 {
		s += fmt.Sprintf("; %s of the maildrop left out, which the gateway takes in first", terminal.Count(e.Maildrop, "message"))
	}
	if n := len(e.Gone); n > 0 {
		s += fmt.Sprintf("; %s left the queue meanwhile", terminal.Count(n, "message"))
	}
	return s
}

func (e *exporter) export(ctx context.Context, m *api.Message) error {
	e.seen[m.ID] = true
	if m.Parts[0].State == api.InMaildrop {
		e.Maildrop++
		return nil
	}
	body, err := e.view.Open(ctx, m.ID)
	if errors.Is(err, queue.ErrNotFound) { // it was delivered
		e.Gone = append(e.Gone, m.ID)
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	wrote, err := newFile(filepath.Join(e.Dir, m.ID+".eml"), func(w io.Writer) error {
		n, err := io.Copy(w, body)
		if err == nil && n != m.Size {
			err = fmt.Errorf("%d of its %d bytes could be read", n, m.Size)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	described, err := newFile(filepath.Join(e.Dir, m.ID+".json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(m)
	})
	if err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	if wrote || described {
		e.New = append(e.New, m.ID)
	} else {
		e.There = append(e.There, m.ID)
	}
	return nil
}

// newFile writes a file that only its owner may read, unless there is one: that stays, and false is returned. A file that
// could not be written whole does not stay.
func newFile(path string, write func(io.Writer) error) (wrote bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err == nil, err
}
