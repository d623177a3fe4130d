package peers

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// syscallEvent is one system call of an strace, from `strace -f -ttt -T -y -s N`.
type syscallEvent struct {
	thread     string
	name       string
	path       string  // of the first argument, when it is a file: 7</path/to/file>
	text       string  // the whole line, with what was written
	began, end float64 // seconds
}

// traceLine is "1234 1700000000.123456 pwrite64(7</path>, "…", 4096, 0) = 4096 <0.000123>". A call during
// which other threads made theirs comes in two lines, "… <unfinished ...>" and "<... pwrite64 resumed>…".
var (
	traceLine    = regexp.MustCompile(`^(?:\[pid +)?(\d+)\]? +(\d+\.\d+) +(.*)$`)
	traceCall    = regexp.MustCompile(`^(\w+)\(\d+<([^>]*)>`)
	traceResumed = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	traceTook    = regexp.MustCompile(`<(\d+\.\d+)>$`)
	traceReply   = regexp.MustCompile(`250 2\.0\.0 OK: queued as ([0-9A-Z]+)`)
)

// readTrace reads the calls on files and sockets in the order in which they began.
func readTrace(r io.Reader) ([]*syscallEvent, error) {
	var events []*syscallEvent
	pending := map[string]*syscallEvent{} // by thread
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<20), 64<<20)
	for lines.Scan() {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		at, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, err
		}
		if resumed := traceResumed.FindStringSubmatch(m[3]); resumed != nil {
			if e := pending[m[1]]; e != nil && e.name == resumed[1] {
				e.text += resumed[2]
				e.end = at // the moment of the resumption is that of the return
				delete(pending, m[1])
			}
			continue
		}
		call := traceCall.FindStringSubmatch(m[3])
		if call == nil {
			continue
		}
		e := &syscallEvent{thread: m[1], name: call[1], path: call[2], text: m[3], began: at}
		events = append(events, e)
		if strings.HasSuffix(m[3], "<unfinished ...>") {
			pending[m[1]] = e
			continue
		}
		e.end = at
		if took := traceTook.FindStringSubmatch(m[3]); took != nil {
			d, err := strconv.ParseFloat(took[1], 64)
			if err != nil {
				return nil, err
			}
			e.end += d
		}
	}
	return events, lines.Err()
}

// durability is what a trace proves of the promises made in it.
type durability struct {
	Promises int      // replies "250 … queued as ID"
	Proved   int      // whose bytes were written and synced before
	Syncs    int      // fsync and fdatasync below the state directory
	Broken   []string // ids of the others, with what is missing
}

// promise is what is known of one id before its reply.
type promise struct {
	written map[string]float64 // when the first write of the id to a file had ended
}

// proveDurability checks that before each 250 a file below dir got bytes with the id of the message (its
// trace field holds it) and that a sync of the same file began after that write and ended before the 250.
func proveDurability(events []*syscallEvent, dir string) durability {
	var d durability
	known := map[string]*promise{}
	for _, e := range events {
		if id := replied(e); id != "" {
			known[id] = &promise{written: map[string]float64{}}
		}
	}
	for _, e := range events {
		if !strings.HasPrefix(e.path, dir) || !strings.Contains(e.name, "write") {
			continue
		}
		for id, p := range known {
			if _, seen := p.written[e.path]; !seen && e.end > 0 && strings.Contains(e.text, id) {
				p.written[e.path] = e.end
			}
		}
	}
	for _, e := range events {
		if strings.HasPrefix(e.path, dir) && (e.name == "fsync" || e.name == "fdatasync") {
			d.Syncs++
		}
		id := replied(e)
		if id == "" {
			continue
		}
		d.Promises++
		switch p := known[id]; {
		case len(p.written) == 0:
			d.Broken = append(d.Broken, id+": not written to a file before")
		case !syncedBefore(events, p, e.began):
			d.Broken = append(d.Broken, id+": written, but not synced before the 250")
		default:
			d.Proved++
		}
	}
	return d
}

// replied returns the id that a write to a socket promises; "" for all other calls.
func replied(e *syscallEvent) string {
	if !strings.Contains(e.name, "write") && !strings.Contains(e.name, "send") || strings.HasPrefix(e.path, "/") {
		return ""
	}
	if m := traceReply.FindStringSubmatch(e.text); m != nil {
		return m[1]
	}
	return ""
}

func syncedBefore(events []*syscallEvent, p *promise, reply float64) bool {
	for _, e := range events {
		if e.began > reply {
			return false
		}
		written, here := p.written[e.path]
		if here && (e.name == "fsync" || e.name == "fdatasync") && e.began >= written && e.end > 0 && e.end <= reply && strings.Contains(e.text, ") = 0") {
			return true
		}
	}
	return false
}

// String is what the table tells.
func (d durability) String() string {
	return fmt.Sprintf("%d of %d replies came after the sync of what they promise; %d syncs", d.Proved, d.Promises, d.Syncs)
}
