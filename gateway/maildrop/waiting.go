package maildrop

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// Waiting is the mail that lies in a maildrop.
type Waiting struct {
	Count  int       // messages
	Bytes  int64     // of their files
	Oldest time.Time // when the oldest was left; zero: there is none
}

// Look counts the mail that waits in the maildrop of a state directory, what is being taken in included. Only who may
// list the maildrop can; where there is none, nothing waits.
func Look(stateDir string) (Waiting, error) {
	w := Waiting{}
	count := func(isMail func(name string) bool) func(string, fs.FileInfo) {
		return func(name string, info fs.FileInfo) {
			if info.IsDir() || !isMail(name) {
				return
			}
			w.Count++
			w.Bytes += info.Size()
			if at := info.ModTime(); w.Oldest.IsZero() || at.Before(w.Oldest) {
				w.Oldest = at
			}
		}
	}
	dir, taken := filepath.Join(stateDir, DirName), filepath.Join(stateDir, takenName)
	err := eachEntry(dir, count(func(name string) bool { return isName(name, mailPrefix) }))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = eachEntry(taken, count(func(name string) bool { _, _, ok := parseClaimed(name); return ok }))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return w, err
}
