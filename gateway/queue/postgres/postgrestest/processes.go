package postgrestest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// LimitFiles lets no file of the server and its connections grow beyond so many bytes, as on a full disk, until it is called again; 0: no
// limit. The server tells a full disk from a limit by a write of which a part fits, so that the number must not be one of whole pages.
func (s *Server) LimitFiles(t testing.TB, bytes int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, "data", "postmaster.pid"))
	if err != nil && bytes > 0 {
		t.Fatal(err)
	}
	limit := "unlimited"
	if bytes > 0 {
		limit = strconv.Itoa(bytes)
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	if err := s.limit(pid, limit); err != nil && bytes > 0 { // else the server may have ended
		t.Skipf("needs prlimit of Linux (apt-get install util-linux): %v", err)
	}
	for _, process := range childrenOf(pid) {
		_ = s.limit(process, limit) // it may have ended
	}
}

// CPU is what the server's processes have used so far, as far as Linux reports it; 0 elsewhere.
func (s *Server) CPU() (used time.Duration) {
	text, err := os.ReadFile(filepath.Join(s.folder, "data", "postmaster.pid"))
	pid, _, _ := strings.Cut(string(text), "\n")
	if err != nil {
		return 0
	}
	for _, process := range append(childrenOf(pid), pid) {
		f := statOf(process)
		if len(f) < 15 {
			continue
		}
		fields := f[11:13]
		if process == pid {
			fields = f[11:15] // with its children that have ended
		}
		for _, ticks := range fields {
			n, _ := strconv.ParseInt(ticks, 10, 64)
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}

// childrenOf returns the processes that a process has started and that have not ended, as far as Linux reports them.
func childrenOf(pid string) (children []string) {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, folder := range all {
		if f := statOf(filepath.Base(folder)); len(f) > 1 && f[1] == pid {
			children = append(children, filepath.Base(folder))
		}
	}
	return children
}

// statOf returns the fields of proc_pid_stat(5) of a process from the third on; nil: there are none.
func statOf(pid string) []string {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	i := strings.LastIndex(string(text), ")") // the name may hold anything
	if err != nil || i < 0 {
		return nil
	}
	return strings.Fields(string(text[i+1:]))
}
