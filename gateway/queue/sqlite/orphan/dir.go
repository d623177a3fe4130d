package orphan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
)

// DirName is the folder of what was set aside, in the state directory.
const DirName = "lost+found"

const reportSuffix = ".txt"

// Dir is the folder of what was set aside: each file with a report beside it, FILE.txt.
type Dir string

// Report says what a file in the folder is.
type Report struct {
	What     string
	From     string             // where it was found
	Bytes    int64              // of the body
	Envelope *envelope.Envelope // nil: not known
	Why      string
	Next     string // how to go on
}

// Report describes the body that t stands behind and that is set aside. id is that of the message; e may be nil.
func (t *Trailer) Report(id string, e *envelope.Envelope, path string, whole bool) Report {
	r := Report{What: "the body of message " + id, From: path, Bytes: t.Size, Envelope: e,
		Why:  "no row of the database names it, and the history does not say what became of it: its process ended before it answered 250, or the row is lost",
		Next: "mailhatch recover " + id + " puts it back into the queue, on hold; or remove it with this report"}
	if !whole {
		r.Why += "; the body does not match its checksum"
	}
	return r
}

// Take moves the file at path into the folder, as name.
func (d Dir) Take(path, name string, r Report) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	if err := d.report(name, r); err != nil {
		return err
	}
	return os.Rename(path, d.Path(name))
}

// Put writes a file into the folder, from parts.
func (d Dir) Put(name string, r Report, parts ...[]byte) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), ".new-*") // 0600
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err == nil {
			_, err = f.Write(p)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Take(f.Name(), name, r)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Path is where a file of the folder lies.
func (d Dir) Path(name string) string { return filepath.Join(string(d), name) }

// List returns the names of the files that have a report, in alphabetical order.
func (d Dir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), reportSuffix); ok {
			if _, err := os.Stat(d.Path(name)); err == nil {
				names = append(names, name)
			}
		}
	}
	return names, err
}

// Remove removes a file with its report.
func (d Dir) Remove(name string) error {
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(d.Path(name) + reportSuffix)
}

// Prune removes what was set aside before a time, and returns the names.
func (d Dir) Prune(before time.Time) (names []string, err error) {
	all, err := d.List()
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		st, err := os.Stat(d.Path(name) + reportSuffix)
		if err != nil || !st.ModTime().Before(before) {
			continue
		}
		if err := d.Remove(name); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

func (d Dir) report(name string, r Report) error {
	var b strings.Builder
	line := func(key, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-11s%s\n", key+":", strings.Join(strings.Fields(text), " "))
		}
	}
	line("what", r.What)
	line("found in", r.From)
	line("set aside", time.Now().Format(time.RFC3339))
	line("bytes", fmt.Sprint(r.Bytes))
	if e := r.Envelope; e != nil {
		line("received", e.Received.Format(time.RFC3339))
		line("from", address(e.From, "RET", e.Ret, "ENVID", e.EnvID))
		for _, to := range e.To {
			line("to", address(to.Address, "NOTIFY", strings.Join(to.Notify, ","), "ORCPT", to.ORcpt))
		}
	}
	line("why", r.Why)
	line("next", r.Next)
	return os.WriteFile(d.Path(name)+reportSuffix, []byte(b.String()), 0o600)
}

// address writes a path with its parameters (RFC 3461).
func address(path string, params ...string) string {
	s := fmt.Sprintf("<%s>", path)
	for i := 0; i < len(params); i += 2 {
		if params[i+1] != "" {
			s += " " + params[i] + "=" + params[i+1]
		}
	}
	return s
}
