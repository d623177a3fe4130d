package sqlite

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
	segmentLimit  = 256 << 10 // bytes of the largest body that goes to a segment
	segmentBytes  = 8 << 20   // after which the next segment begins
	segmentSuffix = ".seg"
)

// bodyPlace is where a body is: in its row, in a file of its own, or in a segment, whose number stands
// in the upper half, at an offset, which stands in the lower.
type bodyPlace int64

const (
	inRow  bodyPlace = 0
	inFile bodyPlace = -1
)

func placeAt(segment, offset int64) bodyPlace { return bodyPlace(segment<<32 | offset) }

func (p bodyPlace) segment() int64  { return int64(p) >> 32 } // 0 and -1: none
func (p bodyPlace) offset() int64   { return int64(p) & (1<<32 - 1) }
func (p bodyPlace) inSegment() bool { return p > 0 }
func firstPlace(n int64) int64      { return n << 32 }
func segmentName(n int64) string    { return fmt.Sprintf("%08d", n) + segmentSuffix }

func segmentPath(dir string, n int64) string {
	return filepath.Join(dir, bodiesDir, segmentName(n))
}

// segmentNumber returns the number in the name of a segment and reports whether it is one.
func segmentNumber(name string) (int64, bool) {
	stem, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(stem, 10, 31)
	return n, err == nil && n > 0 && segmentName(n) == name
}

// segment is a file of many bodies.
type segment struct {
	number  int64
	file    *os.File // nil once nobody writes to it any more
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

func newSegment(number int64) *segment {
	s := &segment{number: number}
	s.turn.L = &s.flushing
	return s
}

// sync returns when the bytes that were written before are on stable storage. Who comes while the file
// is being synced waits for the next round, which is one for all.
func (s *segment) sync() error {
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
		err := disk.SyncData(s.file)
		s.flushing.Lock()
		s.busy, s.ended = false, s.started
		if err != nil {
			s.err = err
		}
		s.turn.Broadcast()
	}
	return s.err
}

// segments are those that this process has filled or counted.
type segments struct {
	dir string

	mu      sync.Mutex
	all     map[int64]*segment
	current *segment // takes the next bodies; nil: none yet
	last    int64    // the highest number ever used
	dead    []int64  // to be removed by the writer
	kept    bool     // none dies: rows that name them are still to come
}

// reserve finds room for a body. release must be called when its fate is known.
func (g *segments) reserve(size int64) (*segment, bodyPlace, error) {
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
	at := placeAt(s.number, s.end)
	s.end += size
	s.writing++
	return s, at, nil
}

// create begins a segment. Its name is on stable storage before any row can name it.
func (g *segments) create() (*segment, error) {
	g.last++
	s := newSegment(g.last)
	s.known = true
	f, err := os.OpenFile(segmentPath(g.dir, s.number), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := disk.SyncDir(filepath.Join(g.dir, bodiesDir)); err != nil {
		f.Close()
		return nil, err
	}
	s.file = f
	g.all[s.number] = s
	return s, nil
}

// release ends what reserve began.
func (g *segments) release(s *segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.writing--
	g.settle(s)
}

// retire lets no more bodies into a segment whose fsync failed.
func (g *segments) retire(s *segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.sealed = true
	if g.current == s {
		g.current = nil
	}
}

// settle closes a segment that nobody writes to, and has one removed that nobody needs. g.mu is held.
func (g *segments) settle(s *segment) {
	if !s.sealed || s.writing > 0 {
		return
	}
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	if s.known && s.live == 0 && !g.kept && g.all[s.number] == s {
		delete(g.all, s.number)
		g.dead = append(g.dead, s.number)
	}
}

// keep lets no segment die until it is called with false. What nobody needs then goes when it is counted next.
func (g *segments) keep(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = on
}

// takeDead returns the numbers of segments that nobody needs, once.
func (g *segments) takeDead() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	dead := g.dead
	g.dead = nil
	return dead
}

// load is a change of what rows name in a segment, or all of it.
type load struct {
	bodies int
	bytes  int64
}

// follow takes over what a commit has changed. count returns what rows name in a segment now; it is
// asked about segments of former processes.
func (g *segments) follow(changes map[int64]load, count func(number int64) (load, error)) {
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
			s.known, s.live, s.bytes = true, all.bodies, all.bytes
		} else {
			s.live += change.bodies
			s.bytes += change.bytes
		}
		g.settle(s)
	}
}

// sparse names the sealed segments of which less than a quarter is needed.
func (g *segments) sparse() (numbers []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for number, s := range g.all {
		if s.sealed && s.writing == 0 && s.known && s.bytes < segmentBytes/4 {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// displaced returns an error when the segment that is being filled has lost its name.
func (g *segments) displaced() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current == nil || g.current.file == nil {
		return nil
	}
	open, err := g.current.file.Stat()
	if err != nil {
		return err
	}
	return disk.Same(segmentPath(g.dir, g.current.number), &open)
}

// close closes the files. Nobody writes any more.
func (g *segments) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.all {
		s.sealed = true
		if s.file != nil {
			s.file.Close()
			s.file = nil
		}
	}
}
