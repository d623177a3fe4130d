package machine

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
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

// TestConfigOfVariables: there is no file to look at.
func TestConfigOfVariables(t *testing.T) {
	dir := t.TempDir()
	for file, want := range map[string]bool{config.Environment: false, "": false, filepath.Join(dir, "missing.toml"): true} {
		cfg := &config.Config{File: file, StateDir: dir, RunDir: dir}
		list := Findings(t.Context(), cfg, nil)
		if got := slices.ContainsFunc(list, func(f upstream.Finding) bool { return f.Name == "config" }); got != want {
			t.Errorf("%q: %+v", file, list)
		}
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

// TestTaken: what serve would fail with is told before.
func TestTaken(t *testing.T) {
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	dir := t.TempDir()
	text := fmt.Sprintf("state_dir = %q\n[[listener]]\naddress = %q\n[upstream.a]\ntype = \"console\"\n[[route]]\nvia = [\"a\"]\n[admin]\naddress = \"off\"\n",
		filepath.Join(dir, "state"), other.Addr())
	file := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds(), Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cfg.Close() }()
	cfg.Listeners = append(cfg.Listeners, config.Listener{Address: "unix:" + filepath.Join(dir, "smtp.sock")},
		config.Listener{Address: "unix:" + filepath.Join(cfg.RunDir, "smtp.sock")}, config.Listener{Address: "unix:" + filepath.Join(dir, "no", "smtp.sock")},
		config.Listener{Address: "fd:smtp"})
	list := taken(t.Context(), cfg)
	if len(list) != 2 || list[0].Level != upstream.Fail || list[0].Text != other.Addr().String()+" is taken" ||
		list[1].Level != upstream.Warn || !strings.Contains(list[1].Text, "does not exist") {
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
