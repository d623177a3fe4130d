package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream/kinds"
	"mailhatch/upstream/smtp/preset"
)

// TestPresetLimits: what a service allows stands in for keys that the config leaves out.
func TestPresetLimits(t *testing.T) {
	load := func(text string) (*Config, error) {
		path := filepath.Join(t.TempDir(), "mailhatch.toml")
		writeFile(t, path, fmt.Sprintf("state_dir = %q\n[upstream.main]\ntype = \"smtp\"\n%s[[route]]\nvia = [\"main\"]\n", filepath.ToSlash(t.TempDir()), text))
		cfg, err := Load(path, Options{Kinds: kinds.Kinds(), Stdout: os.Stdout})
		if err == nil {
			t.Cleanup(func() { _ = cfg.Close() })
		}
		return cfg, err
	}
	const login = "username = \"a@example.com\"\npassword = \"literal\"\n"
	for _, row := range []struct {
		text       string
		rate       Rate
		concurrent int
		recipients int
		warning    string
	}{
		{"preset = \"microsoft365\"\n" + login, Rate{Count: 30, Per: time.Minute}, 3, 500, ""},
		{"preset = \"microsoft365\"\nrate = \"10/m\"\nmax_concurrent = 1\nmax_recipients = 7\n" + login, Rate{Count: 10, Per: time.Minute}, 1, 7, ""},
		{"preset = \"brevo\"\n" + login, Rate{}, defaultConcurrent, 0, ""},
		{"preset = \"brevo\"\nport = 2525\n" + login, Rate{}, defaultConcurrent, 0, "upstream.main.port: 2525 is used in place of 587 of preset brevo"},
	} {
		cfg, err := load(row.text)
		if err != nil {
			t.Error(err)
			continue
		}
		if u := cfg.Upstreams[0]; u.Rate != row.rate || u.MaxConcurrent != row.concurrent || u.MaxRecipients != row.recipients {
			t.Errorf("%s: rate %v, %d at once, %d recipients", row.text, u.Rate, u.MaxConcurrent, u.MaxRecipients)
		}
		if got := strings.Join(cfg.Warnings, "\n"); !strings.Contains(got, row.warning) || row.warning == "" && strings.Contains(got, "preset") {
			t.Errorf("%s: warnings %q", row.text, got)
		}
	}
	_, err := load("preset = \"gmial\"\n")
	if err == nil || !strings.Contains(err.Error(), `did you mean "gmail"?`) {
		t.Errorf("an unknown preset: %v", err)
	}
	for _, p := range preset.All() {
		var r Rate
		if err := r.UnmarshalText([]byte(p.Rate)); p.Rate != "" && err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
