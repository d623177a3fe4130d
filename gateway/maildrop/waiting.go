package maildrop

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
)

// Waiting is what a maildrop holds that the queue does not have yet.
type Waiting struct {
	Messages []Message // the oldest first; at most as many as were asked for
	Count    int       // of all messages
	Bytes    int64     // of their files
	Oldest   time.Time // when the oldest was left; zero: there is none

	Refused    int    // messages that could not be taken in
	RefusedDir string // where they lie
}

// Message is one that waits.
type Message struct {
	ID       string // the start of the file's name: all of it would be enough to read some files
	UID      uint32 // of the account that left it
	At       time.Time
	Size     int64              // bytes of the message, of the file where that cannot be read
	Envelope *envelope.Envelope // as the account asked for it, unchecked; without recipients where it cannot be read
}

// Look looks at the maildrop of a state directory, whether the gateway runs or not, and changes nothing there. Only the
// gateway's account and root may: others get fs.ErrPermission. Where there is no maildrop it is empty.
func Look(stateDir string, most int) (*Waiting, error) {
	w := &Waiting{RefusedDir: filepath.Join(stateDir, refusedName)}
	var found []place
	count := func(dir string, isMessage func(name string) bool) error {
		return present(eachEntry(filepath.Join(stateDir, dir), func(name string, info fs.FileInfo) {
			if !isMessage(name) || !info.Mode().IsRegular() {
				return
			}
			w.Count++
			w.Bytes += info.Size()
			found = append(found, place{filepath.Join(stateDir, dir, name), info})
		}))
	}
	err := errors.Join(
		count(takenName, func(name string) bool { _, _, ok := parseClaimed(name); return ok }),
		count(DirName, func(name string) bool { return isName(name, mailPrefix) }),
		present(eachEntry(w.RefusedDir, func(string, fs.FileInfo) { w.Refused++ })))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b place) int {
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), cmp.Compare(a.path, b.path))
	})
	if len(found) > 0 {
		w.Oldest = found[0].info.ModTime()
	}
	for _, p := range found[:min(len(found), most)] {
		w.Messages = append(w.Messages, p.message())
	}
	return w, nil
}

// present passes over a directory that is not there.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// place is where a message is.
type place struct {
	path string
	info fs.FileInfo
}

// idLength is how much of a name is shown: enough to tell messages apart, too little to find one.
const idLength = len(mailPrefix) + 8

// message reads the envelope. The recipients whose turn has been are the queue's already.
func (p place) message() Message {
	name := filepath.Base(p.path)
	m := Message{ID: name[:idLength], UID: ownerOf(p.info), At: p.info.ModTime(), Size: p.info.Size(), Envelope: &envelope.Envelope{}}
	f, _, size, err := openDrop(p.path)
	if err != nil {
		return m
	}
	defer f.Close() //nolint:errcheck // only read
	env, length, _, err := decode(f, size)
	if err != nil {
		return m
	}
	if _, progress, ok := parseClaimed(name); ok {
		env.To = env.To[min(progress.done, len(env.To)):]
	}
	m.Envelope, m.Size = env, length
	return m
}
