package figures

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mailhatch/gateway/durable"
)

const (
	keepEvery = 5 * time.Minute // what was counted since then is lost with a crash
	maxKept   = 64 << 20        // bytes of a file that is read, unpacked
	version   = 1
)

// kept is the file: counts and names of upstreams, and nothing that mail or providers say.
type kept struct {
	Version int                 `json:"version"`
	Since   time.Time           `json:"since"`
	Minutes []keptSlot          `json:"minutes,omitempty"`
	Tens    []keptSlot          `json:"tens,omitempty"`
	Lanes   map[string]keptLane `json:"upstreams,omitempty"`
}

type keptSlot struct {
	Number int64 `json:"n"`
	Count
	Ages map[int]uint32 `json:"ages,omitempty"` // by bucket
}

type keptLane struct {
	Tens   []keptSlot `json:"tens,omitempty"`
	Closed []int64    `json:"closed,omitempty"`
}

func file(dir string) string { return filepath.Join(dir, "figures.json.gz") }

// Open returns figures that go on from what is kept in a directory. Where that cannot be read they begin now, and the error
// says why.
func Open(dir string, now func() time.Time) (*Figures, error) {
	f := New(now)
	f.dir = dir
	raw, err := os.ReadFile(file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = f.load(raw)
	}
	if err != nil {
		err = fmt.Errorf("%s: what was counted before is not known: %w", file(dir), err)
	}
	return f, err
}

// Run keeps the figures now and then, until ctx ends. failed is told where that is not possible, once until it is again.
func (f *Figures) Run(ctx context.Context, failed func(error)) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := f.Keep()
		if err != nil && !told {
			failed(err)
		}
		told = err != nil
	}
}

// Keep writes the file, where something was counted since it was written last.
func (f *Figures) Keep() error {
	f.mu.Lock()
	heard, same := f.heard, f.heard == f.keptAt
	var k *kept
	if !same {
		k = f.snapshot() // a copy: who tells of mail does not wait for the file
	}
	f.mu.Unlock()
	if same {
		return nil
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	err := json.NewEncoder(z).Encode(k)
	if err = errors.Join(err, z.Close()); err == nil {
		err = durable.Replace(file(f.dir), packed.Bytes())
	}
	if err != nil {
		return fmt.Errorf("the page's figures cannot be stored and would start from zero after a restart: %w", err)
	}
	f.mu.Lock()
	f.keptAt = heard
	f.mu.Unlock()
	return nil
}

func (f *Figures) snapshot() *kept {
	now := f.now()
	k := &kept{Version: version, Since: f.since, Minutes: keptSlots(f.minutes[:]), Tens: keptSlots(f.tens[:]), Lanes: map[string]keptLane{}}
	for name, l := range f.lanes {
		l.mark(now)
		lane := keptLane{Tens: keptSlots(l.tens[:])}
		for _, n := range l.closed {
			if n != 0 {
				lane.Closed = append(lane.Closed, n)
			}
		}
		k.Lanes[name] = lane
	}
	return k
}

func keptSlots(ring []*slot) (list []keptSlot) {
	for _, s := range ring {
		if s == nil {
			continue
		}
		out := keptSlot{Number: s.number, Count: s.Count, Ages: map[int]uint32{}}
		for i, n := range s.ages {
			if n > 0 {
				out.Ages[i] = n
			}
		}
		list = append(list, out)
	}
	return list
}

// load takes over what a file has. Figures that were counted for the future are those of a clock that was wrong.
func (f *Figures) load(raw []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxKept))
	if err != nil {
		return err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return err
	}
	if k.Version != version {
		return fmt.Errorf("it is of version %d, and this mailhatch knows version %d", k.Version, version)
	}
	now := f.now()
	if k.Since.Before(now) {
		f.since = k.Since
	}
	restore(f.minutes[:], k.Minutes, now, time.Minute)
	restore(f.tens[:], k.Tens, now, ten)
	for name, lane := range k.Lanes {
		l := f.lane(name)
		if l == nil {
			continue
		}
		restore(l.tens[:], lane.Tens, now, ten)
		for _, n := range lane.Closed {
			if n >= 0 {
				l.closed[n%perDay] = n
			}
		}
	}
	return nil
}

func restore(ring []*slot, list []keptSlot, now time.Time, step time.Duration) {
	last := now.UnixNano() / int64(step)
	for _, in := range list {
		if in.Number < 0 || in.Number > last || in.Number <= last-int64(len(ring)) {
			continue
		}
		s := &slot{number: in.Number, Count: in.Count}
		for i, n := range in.Ages {
			if i >= 0 && i < buckets {
				s.ages[i] = n
			}
		}
		ring[in.Number%int64(len(ring))] = s
	}
}
