//go:build unix

package systemd

import (
	"fmt"
	"os"
	"syscall"
)

// IsJournal reports whether what is written to f goes to the journal, where lines may begin with a priority
// (JOURNAL_STREAM of systemd.exec(5)).
func IsJournal(f *os.File) bool {
	stream := os.Getenv("JOURNAL_STREAM")
	if stream == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", st.Dev, st.Ino) == stream
}
