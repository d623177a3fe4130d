package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every architecture Go runs on.
const tick = 10 * time.Millisecond

// procStat is what a line of /proc/PID/stat tells, proc_pid_stat(5).
type procStat struct {
	parent int
	cpu    time.Duration // of the process and of its children that ended
}

// TreeUsage adds up a process and its descendants.
func TreeUsage(pid int) (Footprint, error) {
	stats, err := readProcesses()
	if err != nil {
		return Footprint{}, err
	}
	if _, alive := stats[pid]; !alive {
		return Footprint{}, fmt.Errorf("process %d has ended", pid)
	}
	u := Footprint{HWM: procField(pid, "status", "VmHWM:")}
	for id, st := range stats {
		if descends(stats, id, pid) {
			u.CPU += st.cpu
			u.PSS += procField(id, "smaps_rollup", "Pss:")
		}
	}
	return u, nil
}

// readProcesses reads the stat of all processes. One that ends meanwhile is left out.
func readProcesses() (map[int]procStat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	stats := make(map[int]procStat, len(paths))
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if st, ok := parseStat(string(line)); ok {
			stats[pid] = st
		}
	}
	return stats, nil
}

// parseStat reads fields 4 (ppid) and 14 to 17 (utime, stime, cutime, cstime).
func parseStat(line string) (procStat, bool) {
	// The name in parentheses may hold anything: fields count from behind it.
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return procStat{}, false
	}
	var st procStat
	var err error
	if st.parent, err = strconv.Atoi(fields[1]); err != nil {
		return procStat{}, false
	}
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return procStat{}, false
		}
		st.cpu += time.Duration(n) * tick
	}
	return st, true
}

func descends(stats map[int]procStat, pid, ancestor int) bool {
	for range len(stats) {
		if pid == ancestor {
			return true
		}
		st, ok := stats[pid]
		if !ok {
			return false
		}
		pid = st.parent
	}
	return false
}

// procField reads a line such as "Pss:  1042 kB" in bytes; 0 when it is not there.
func procField(pid int, file, name string) int64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if fields := strings.Fields(string(line)); len(fields) >= 2 && fields[0] == name {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}
