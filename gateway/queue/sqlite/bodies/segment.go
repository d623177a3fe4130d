package bodies

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"mailhatch/gateway/queue/sqlite/disk"
)

// Bodies that are too large for their rows and not large enough for files of their own are appended to
// segments, so that many share one fdatasync and no name has to be synced. A segment is filled by one
// process, sealed when it is full, and removed when no row names it any more.
const (
	SegmentLimit  = 256 << 10 // bytes of the largest body that goes to a segment
	segmentBytes  = 8 << 20   // after which the next segment begins
	segmentSuffix = ".seg"
)

// Place is where a body is: in its row, in a file of its own, or in a segment, whose number stands
// in the upper half, at an offset, which stands in the lower.
type Place int64

// The places that are not in a segment.
const (
	InRow  Place = 0
	InFile Place = -1
)

// At is the place at an offset of a segment.
func At(segment, offset int64) Place { return Place(segment<<32 | offset) }

// Segment returns the number of the segment, Offset where in it, InSegment whether there is one.
func (p Place) Segment() int64  { return int64(p) >> 32 } // 0 and -1: none
func (p Place) Offset() int64   { return int64(p) & (1<<32 - 1) }
func (p Place) InSegment() bool { return p > 0 }

// First is the first place in a segment, as a number.
func First(n int64) int64 { return n << 32 }

// SegmentName is the file of a segment.
func SegmentName(n int64) string { return fmt.Sprintf("%08d", n) + segmentSuffix }

// SegmentPath is the path of that file; dir is the state directory.
func SegmentPath(dir string, n int64) string {
	return filepath.Join(dir, DirName, SegmentName(n))
}

// SegmentNumber returns the number in the name of a segment and reports whether it is one.
func SegmentNumber(name string) (int64, bool) {
	stem, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(stem, 10, 31)
	return n, err == nil && n > 0 && SegmentName(n) == name
}

// Segment is a file of many bodies.
type Segment struct {
	Number  int64
	File    *os.File // nil once nobody writes to it any more
	end     int64    // bytes given out
	sealed  bool     // no more bodies come
	writing int      // bodies that are not committed yet
	known   bool     // live and bytes hold
	live    int      // bodies that rows name
	bytes   int64    // of these

	flushing       sync.Mutex // guards what follows
	turn           sync.Cond
	busy           bool
	started, ended int64 // rounds of syncing
	err            error
}

// NewSegments returns the segments in a state directory; Used must be called for those that are there.
func NewSegments(dir string) *Segments {
	return &Segments{dir: dir, all: map[int64]*Segment{}}
}

// Used notes that the number of a segment was used before.
func (g *Segments) Used(number int64) { g.last = max(g.last, number) }

func newSegment(number int64) *Segment {
	s := &Segment{Number: number}
	s.turn.L = &s.flushing
	return s
}

// Sync returns when the bytes that were written before are on stable storage. Who comes while the file
// is being synced waits for the next round, which is one for all.
func (s *Segment) Sync() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	mine := s.started + 1
	for s.ended < mine && s.err == nil {
		if s.busy {
			s.turn.Wait()
			continue
		}
		s.busy = true
		s.started++
		s.flushing.Unlock()
		err := disk.SyncData(s.File)
		s.flushing.Lock()
		s.busy, s.ended = false, s.started
		if err != nil {
			s.err = err
		}
		s.turn.Broadcast()
	}
	return s.err
}

// Segments are those that this process has filled or counted.
type Segments struct {
	dir string

	mu      sync.Mutex
	all     map[int64]*Segment
	current *Segment // takes the next bodies; nil: none yet
	last    int64    // the highest number ever used
	dead    []int64  // to be removed by the writer
	keepers int      // none dies: rows that name them are still to come
}

// Reserve finds room for a body. Release must be called when its fate is known.
func (g *Segments) Reserve(size int64) (*Segment, Place, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.current; c == nil || c.end+size > segmentBytes {
		next, err := g.create()
		if err != nil {
			return nil, 0, err
		}
		if g.current = next; c != nil {
			c.sealed = true
			g.settle(c)
		}
	}
	s := g.current
	at := At(s.Number, s.end)
	s.end += size
	s.writing++
	return s, at, nil
}

// create begins a segment. Its name is on stable storage before any row can name it.
func (g *Segments) create() (*Segment, error) {
	g.last++
	s := newSegment(g.last)
	s.known = true
	f, err := os.OpenFile(SegmentPath(g.dir, s.Number), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := disk.SyncDir(filepath.Join(g.dir, DirName)); err != nil {
		f.Close()
		return nil, err
	}
	s.File = f
	g.all[s.Number] = s
	return s, nil
}

// Release ends what Reserve began.
func (g *Segments) Release(s *Segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.writing--
	g.settle(s)
}

// Retire lets no more bodies into a segment whose fsync failed.
func (g *Segments) Retire(s *Segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.sealed = true
	if g.current == s {
		g.current = nil
	}
}

// settle closes a segment that nobody writes to, and has one removed that nobody needs. g.mu is held.
func (g *Segments) settle(s *Segment) {
	if !s.sealed || s.writing > 0 {
		return
	}
	if s.File != nil {
		s.File.Close()
		s.File = nil
	}
	if s.known && s.live == 0 && g.keepers == 0 && g.all[s.Number] == s {
		delete(g.all, s.Number)
		g.dead = append(g.dead, s.Number)
	}
}

// Keep lets no segment die until it is called with false as often.
func (g *Segments) Keep(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on {
		g.keepers++
		return
	}
	g.keepers--
	for _, s := range g.all {
		g.settle(s)
	}
}

// Dead returns the numbers of segments that nobody needs, once.
func (g *Segments) Dead() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	dead := g.dead
	g.dead = nil
	return dead
}

// Load is a change of what rows name in a segment, or all of it.
type Load struct {
	Bodies int
	Bytes  int64
}

// Follow takes over what a commit has changed. count returns what rows name in a segment now; it is
// asked about segments of former processes.
func (g *Segments) Follow(changes map[int64]Load, count func(number int64) (Load, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for number, change := range changes {
		s := g.all[number]
		if s == nil {
			s = newSegment(number)
			s.sealed = true
			g.all[number] = s
		}
		if !s.known {
			all, err := count(number)
			if err != nil {
				continue // it stays until the next start
			}
			s.known, s.live, s.bytes = true, all.Bodies, all.Bytes
		} else {
			s.live += change.Bodies
			s.bytes += change.Bytes
		}
		g.settle(s)
	}
}

// Sparse names the sealed segments of which less than a quarter is needed.
func (g *Segments) Sparse() (numbers []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for number, s := range g.all {
		if s.sealed && s.writing == 0 && s.known && s.bytes < segmentBytes/4 {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// Displaced returns an error when the segment that is being filled has lost its name.
func (g *Segments) Displaced() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current == nil || g.current.File == nil {
		return nil
	}
	open, err := g.current.File.Stat()
	if err != nil {
		return err
	}
	return disk.Same(SegmentPath(g.dir, g.current.Number), &open)
}

// Close closes the files. Nobody writes any more.
func (g *Segments) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.all {
		s.sealed = true
		if s.File != nil {
			s.File.Close()
			s.File = nil
		}
	}
}
