package machine

import (
	"path/filepath"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

func TestStorage(t *testing.T) {
	dir := t.TempDir()
	_, free, err := fileSystem(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		least int64
		want  upstream.Level
	}{{free / 100, upstream.Fine}, {free / 2, upstream.Warn}, {2 * free, upstream.Fail}} {
		cfg := &config.Config{StateDir: filepath.Join(dir, "not", "there", "yet"), Queue: config.Queue{MinFree: config.Size(row.least)}}
		if got := storage(cfg)[0]; got.Level != row.want || got.Name != "space" {
			t.Errorf("%d free, at least %d: %+v", free, row.least, got)
		}
	}
	if f := secretFile("secret", filepath.Join(dir, "missing"), 0o077); f.Level != upstream.Warn {
		t.Errorf("%+v", f)
	}
}
