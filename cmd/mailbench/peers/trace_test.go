package peers

import (
	"strings"
	"testing"
	"time"
)

// The replies of three messages: AAA is synced before, BBB after, CCC is never written.
const sampleTrace = `100 10.000000 write(9<socket:[5]>, "220 bench.example ESMTP\r\n", 25) = 25 <0.000010>
101 10.100000 pwrite64(7</q/state/queue.db-wal>, "Received: by bench id AAA;", 4096, 0 <unfinished ...>
100 10.100500 fdatasync(7</q/state/queue.db-wal>) = 0 <0.001000>
101 10.102000 <... pwrite64 resumed>) = 4096 <0.002000>
101 10.110000 fdatasync(7</q/state/queue.db-wal> <unfinished ...>
102 10.111000 pwrite64(8</q/other>, "BBB", 3, 0) = 3 <0.000010>
102 10.111500 fsync(8</q/other>) = 0 <0.000100>
101 10.112000 <... fdatasync resumed>) = 0 <0.002000>
100 10.120000 write(9<socket:[5]>, "250 2.0.0 OK: queued as AAA\r\n", 30) = 30 <0.000010>
101 10.130000 pwrite64(7</q/state/queue.db-wal>, "Received: by bench id BBB;", 4096, 0) = 4096 <0.001000>
100 10.140000 write(9<socket:[5]>, "250 2.0.0 OK: queued as BBB\r\n", 30) = 30 <0.000010>
101 10.150000 fdatasync(7</q/state/queue.db-wal>) = 0 <0.001000>
100 10.160000 write(2</q/output.log>, "{id: CCC}", 9) = 9 <0.000010>
100 10.170000 write(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, "250 2.0.0 OK: queued as CCC\r\n", 30) = 30 <0.000010>
100 10.180000 close(9<socket:[5]>) = 0 <0.000010>
100 10.190000 +++ exited with 0 +++
`

func TestProveDurability(t *testing.T) {
	events, err := readTrace(strings.NewReader(sampleTrace))
	if err != nil {
		t.Fatal(err)
	}
	d := proveDurability(events, "/q/state")
	if d.Promises != 3 || d.Proved != 1 || d.Syncs != 3 {
		t.Errorf("%+v", d)
	}
	if got := strings.Join(d.Broken, "|"); got != "BBB: written, but not synced before the 250|CCC: not written to a file before" {
		t.Error(got)
	}
	if got := d.String(); !strings.HasPrefix(got, "1 of 3 replies") {
		t.Error(got)
	}
	failed := strings.ReplaceAll(sampleTrace, "fdatasync resumed>) = 0", "fdatasync resumed>) = -1 EIO (Input/output error)")
	if events, err = readTrace(strings.NewReader(failed)); err != nil || proveDurability(events, "/q/state").Proved != 0 {
		t.Errorf("%v: a failed sync proves something", err)
	}
}

func TestDurableWithoutStrace(t *testing.T) {
	t.Setenv("PATH", "")
	var o Outcome
	if err := durable(t.Context(), nil, &o); err != nil || !strings.Contains(o.Skipped, "strace is not installed") {
		t.Errorf("%v %+v", err, o)
	}
}

// TestWakeUps: a wake-up is what comes after a time in which nothing did.
func TestWakeUps(t *testing.T) {
	const trace = `12 100.000000 epoll_pwait(6,  <unfinished ...>
13 100.500000 <... futex resumed>) = 0
12 100.510000 <... epoll_pwait resumed>[], 128, 249, NULL, 0) = 0
strace: Process 12 detached
12 101.000000 epoll_pwait(6, [], 128, 0, NULL, 0) = 0
12 102.000000 epoll_pwait(6, [], 128, 0, NULL, 0) = 0
`
	if n, took, err := wakeUps(strings.NewReader(trace)); n != 3 || took != 2*time.Second || err != nil {
		t.Errorf("%d wake-ups in %v, %v", n, took, err)
	}
}
