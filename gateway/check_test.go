package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/upstream/kinds"
)

func TestFromDomains(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	writeConfig := func(keys string) *config.Config {
		t.Helper()
		if err := os.WriteFile(file, []byte("[upstream.main]\ntype = \"memory\"\n"+keys+"[[route]]\nvia = [\"main\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
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
