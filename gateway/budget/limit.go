package budget

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	share   = 4        // of the limit of memory is the budget
	most    = 32 << 20 // bytes: more makes nothing faster, for it is processors that are scarce then
	unknown = 1 << 30  // bytes of memory where nobody tells
)

// Size returns how large the budget of a process is: a quarter of its memory, at most 32 MiB. root is the
// file system of the machine.
func Size(root fs.FS) int64 { return max(1, min(limit(root)/share, most)) }

// limit returns the memory that the process may have: GOMEMLIMIT, else the limit of its cgroup, else what the
// machine has.
func limit(root fs.FS) int64 {
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		return n
	}
	if n, ok := Cgroup(root); ok {
		return n
	}
	if n, ok := machine(root); ok {
		return n
	}
	return unknown
}

// Cgroup returns the limit of the process's control group in bytes, those around it included
// (https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max; cgroup-v1/memory.html).
func Cgroup(root fs.FS) (bytes int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	bytes = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(fields) < 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		if fields[1] != "" {
			if mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"; fields[1] != "memory" {
				continue
			}
		}
		// In a container the path may be one of the host: then its own group is the root.
		for dir := path.Join("/", fields[2]); ; dir = path.Dir(dir) {
			if n, ok := number(root, path.Join(mount, dir, file)); ok {
				bytes = min(bytes, n)
			}
			if dir == "/" {
				break
			}
		}
	}
	const none = 1 << 60 // v1 writes a number that is larger for no limit
	return bytes, bytes < none
}

func number(root fs.FS, name string) (int64, bool) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // "max" means no limit
	return n, err == nil && n > 0
}

// machine returns the memory of the machine as Linux has it.
func machine(root fs.FS) (int64, bool) {
	b, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10, err == nil && n > 0
		}
	}
	return 0, false
}
