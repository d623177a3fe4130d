package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mailhatch/gateway"
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
		cfg := &gateway.Config{StateDir: filepath.Join(dir, "not", "there", "yet"), Queue: gateway.QueueConfig{MinFree: gateway.Size(row.least)}}
		if got := storage(cfg)[0]; got.Level != row.want || got.Name != "space" {
			t.Errorf("%d free, at least %d: %+v", free, row.least, got)
		}
	}
	if f := secretFile("secret", filepath.Join(dir, "missing"), 0o077); f.Level != upstream.Warn {
		t.Errorf("%+v", f)
	}
}

func TestFromDomains(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	writeConfig := func(keys string) *gateway.Config {
		t.Helper()
		if err := os.WriteFile(file, []byte("[upstream.main]\ntype = \"memory\"\n"+keys+"[[route]]\nvia = [\"main\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := gateway.Load(file, gateway.LoadOptions{Kinds: upstream.Kinds()})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	for keys, want := range map[string]string{
		"": "[]",
		"from_domains = [\"*.example.com\", \"example.com\"]\nrewrite_from = \"a@example.com\"\n": "[*.example.com example.com]",
		"rewrite_from = \"a@example.com\"\n":                                                      "[example.com]",
	} {
		cfg := writeConfig(keys)
		if got := fromDomains(&cfg.Upstreams[0]); fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", keys, got, want)
		}
	}
}
