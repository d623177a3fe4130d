package maildrop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
)

// Directories beside the maildrop that are the gateway's alone.
const (
	takenName   = DirName + "-taken"   // what is being taken in
	refusedName = DirName + "-refused" // what could not be; for the operator to look at
)

const (
	partLife  = 24 * time.Hour // a file that has been written for so long never will be whole
	batchSize = 1000           // names that are read at once
	maxListed = 200            // files of one account that are remembered at once
)

// Box is the gateway's side of a maildrop. It is used by one goroutine.
type Box struct {
	dir, taken, refused string
	reported            map[string]bool // foreign files that were reported
	owner               func(fs.FileInfo) uint32
}

// Open makes the maildrop of a state directory, and lets everybody pass through that directory. Errors
// wrap ErrUnsafe, ErrUnsupported or those of the file system.
func Open(stateDir string) (*Box, error) {
	b := &Box{dir: filepath.Join(stateDir, DirName), taken: filepath.Join(stateDir, takenName),
		refused: filepath.Join(stateDir, refusedName), reported: map[string]bool{}, owner: ownerOf}
	for _, dir := range []string{b.taken, b.refused} {
		if err := makeDir(dir); err != nil {
			return nil, fmt.Errorf("maildrop: %w", err)
		}
	}
	if err := makeDrop(stateDir, b.dir); err != nil {
		return nil, fmt.Errorf("maildrop: %w", err)
	}
	return b, nil
}

// makeDir makes a directory for the gateway alone.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkOwn(dir)
}

// Drop is a message of the maildrop.
type Drop struct {
	Name     string             // of its file
	UID      uint32             // of the account that wrote it
	Envelope *envelope.Envelope // what its writer asked for, for the recipients whose turn it is: addresses are not checked, Client is empty
	Size     int64              // bytes of Body
	Body     io.Reader          // header and body with CRLF line ends
}

// Refusal is a message that will never be taken in.
type Refusal struct{ Err error }

// Error returns the reason.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// file is a message that waits in the maildrop or, once it was begun, in the directory of those taken.
type file struct {
	name    string // as its writer gave it
	uid     uint32
	at      time.Time
	claimed bool // it is in the directory of those taken
	progress
}

// progress is how far a message with more recipients than a message may have has come. It is kept in the
// file's name, so that a change is atomic: "mail-X.1000", with "r" when some could not be taken.
type progress struct {
	done    int  // recipients whose turn has been
	refused bool // some of them
}

// claimedName is what the file is called among those taken.
func (f *file) claimedName() string {
	switch {
	case f.done == 0:
		return f.name
	case f.refused:
		return fmt.Sprintf("%s.%dr", f.name, f.done)
	}
	return fmt.Sprintf("%s.%d", f.name, f.done)
}

// parseClaimed reads such a name.
func parseClaimed(s string) (name string, p progress, ok bool) {
	name, suffix, partly := strings.Cut(s, ".")
	if partly {
		digits, refused := strings.CutSuffix(suffix, "r")
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || n == 0 {
			return "", p, false
		}
		p = progress{int(n), refused}
	}
	return name, p, isName(name, mailPrefix)
}

// list lists the messages that wait by the accounts that wrote them, the oldest first, and sweeps what was
// never finished. What was begun comes first. more reports whether there are further ones.
func (b *Box) list(skip map[string]bool, report func(error)) (found map[uint32][]*file, more bool, err error) {
	found = map[uint32][]*file{}
	add := func(f *file, info fs.FileInfo) {
		if skip[f.name] {
			return
		}
		f.uid, f.at = b.owner(info), info.ModTime()
		list := append(found[f.uid], f)
		if len(list) >= 2*maxListed {
			list, more = oldest(list), true
		}
		found[f.uid] = list
	}
	err = eachEntry(b.taken, func(name string, info fs.FileInfo) {
		if name, p, ok := parseClaimed(name); ok {
			add(&file{name: name, claimed: true, progress: p}, info)
		}
	})
	if err == nil {
		err = eachEntry(b.dir, func(name string, info fs.FileInfo) {
			switch {
			case isName(name, mailPrefix) && !info.IsDir():
				if !b.reported[name] {
					add(&file{name: name}, info)
				}
			case !isName(name, partPrefix):
				b.reportForeign(name, errors.New("it does not belong there"), report)
			case time.Since(info.ModTime()) > partLife:
				_ = os.Remove(filepath.Join(b.dir, name)) // what stays is tried again
			}
		})
	}
	for uid, list := range found {
		more = more || len(list) > maxListed
		found[uid] = oldest(list)
	}
	return found, more, err
}

// oldest sorts messages and keeps the first of them.
func oldest(list []*file) []*file {
	slices.SortFunc(list, func(x, y *file) int {
		switch {
		case x.claimed == y.claimed:
			return x.at.Compare(y.at)
		case x.claimed:
			return -1
		}
		return 1
	})
	return list[:min(len(list), maxListed)]
}

// eachEntry reads a directory.
func eachEntry(dir string, visit func(name string, info fs.FileInfo)) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		list, err := d.ReadDir(batchSize)
		for _, e := range list {
			if info, err := e.Info(); err == nil { // else it is gone
				visit(e.Name(), info)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reportForeign reports once a file that is left where it is.
func (b *Box) reportForeign(name string, err error, report func(error)) {
	const most = 1000 // names that are remembered
	if b.reported[name] || len(b.reported) >= most {
		return
	}
	b.reported[name] = true
	report(fmt.Errorf("maildrop: %q is left alone: %w", filepath.Join(b.dir, name), err))
}
