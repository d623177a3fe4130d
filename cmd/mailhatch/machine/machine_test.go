package machine

import (
	"os"
	"path/filepath"
	"runtime"
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

func TestAddresses(t *testing.T) {
	cfg := &config.Config{}
	for _, address := range []string{"127.0.0.1:25", "0.0.0.0:25", "[::]:25", "192.0.2.7:25", "localhost:25", "unix:/run/x", "fd:smtp"} {
		cfg.Listeners = append(cfg.Listeners, config.Listener{Address: address})
	}
	list := addresses(cfg)
	if len(list) != 1 || list[0].Level != upstream.Warn || list[0].Text != "192.0.2.7:25: this machine does not have the address" {
		t.Errorf("%+v", list)
	}
}

func TestMaildropMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
	cfg := &config.Config{StateDir: t.TempDir()}
	path := filepath.Join(cfg.StateDir, "maildrop")
	if list := drop(cfg); list != nil {
		t.Errorf("before the first start: %+v", list)
	}
	if err := os.Mkdir(path, 0o733); err != nil {
		t.Fatal(err)
	}
	if list := drop(cfg); len(list) != 1 || list[0].Hint != "chmod 3733 "+path {
		t.Errorf("%+v", list)
	}
	if err := os.Chmod(path, 0o733|os.ModeSticky|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if list := drop(cfg); list != nil {
		t.Errorf("%+v", list)
	}
}
