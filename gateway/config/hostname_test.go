package config

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/mime/hostname"
	"mailhatch/upstream/kinds"
)

// TestShortName: a machine whose name has no domain is told what to write where others will see its name, once; a full
// name of /etc/hosts is taken.
func TestShortName(t *testing.T) {
	system, err := os.Hostname()
	if err != nil {
		t.Skip("this machine has no name")
	}
	hosts, _ := os.ReadFile("/etc/hosts")
	own := hostname.Own(system, string(hosts))
	short := !strings.Contains(own, ".")
	for _, row := range []struct {
		config string
		want   bool
	}{
		{"[upstream.x]\ntype = \"console\"\n", false},
		{"[upstream.x]\ntype = \"smtp\"\nhost = \"relay.example.com\"\n", short},
		{"hostname = \"gw\"\n[upstream.x]\ntype = \"smtp\"\nhost = \"relay.example.com\"\n", false},
		{"hostname = \"gw.example.com\"\n[upstream.x]\ntype = \"smtp\"\nhost = \"relay.example.com\"\n", false},
	} {
		path := filepath.Join(t.TempDir(), "c.toml")
		writeFile(t, path, row.config+"[[route]]\nvia = [\"x\"]\n")
		cfg, err := Load(path, Options{Kinds: kinds.Kinds(), Stdout: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Close()
		if !strings.HasPrefix(row.config, "hostname") && cfg.Hostname != own {
			t.Errorf("hostname %q, want %q", cfg.Hostname, own)
		}
		warned := 0
		for _, w := range cfg.Warnings {
			if strings.Contains(w, `write hostname = "`+own+`.example.com"`) {
				warned++
			}
		}
		if warned != 0 != row.want || warned > 1 {
			t.Errorf("%s: warnings %q", row.config, cfg.Warnings)
		}
	}
}
