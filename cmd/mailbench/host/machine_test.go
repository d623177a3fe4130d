package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestMachine(t *testing.T) {
	if got := cpuModel("processor : 0\nmodel name\t: Fast: 3000\nmodel name : other\n"); got != "Fast: 3000" {
		t.Errorf("cpu %q", got)
	}
	if got := cpuModel(""); got != "unknown" {
		t.Errorf("cpu %q", got)
	}
	for text, want := range map[string]float64{"1.50 0.20 0.10 1/80 7": 1.5, "": 0} {
		if got := loadAverage(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	mounts := "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/q xfs rw 0 0\nx\n"
	for dir, want := range map[string]string{"/var/q": "ext4", "/tmp": "tmpfs", "/tmp/qq": "tmpfs", "/tmp/q/1": "xfs"} {
		if got := filesystemOf(dir, mounts); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
	m, err := Inspect(t.TempDir(), 5*time.Millisecond)
	if err != nil || m.FsyncsPerS <= 0 || m.Fsync.P99 <= 0 || m.Cores < 1 || m.Go == "" {
		t.Errorf("%v %+v", err, m)
	}
	if _, err := Inspect(filepath.Join(t.TempDir(), "none"), time.Millisecond); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
