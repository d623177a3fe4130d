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

// TestHintsOfEnvironment: where variables make the config, what is wrong is mended by a variable.
func TestHintsOfEnvironment(t *testing.T) {
	for name, value := range map[string]string{"UPSTREAM": "smtp", "HOST": "relay.example.com", "LISTEN": "0.0.0.0:1025", "ALLOW": "", "HOSTNAME": ""} {
		t.Setenv("MAILHATCH_"+name, value)
	}
	t.Setenv("MAILHATCH_ADMIN", "off")
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	opts := Options{Kinds: kinds.Kinds(), Stdout: io.Discard}
	if _, err := Load(Environment, opts); err == nil || !strings.Contains(err.Error(), "set MAILHATCH_ALLOW to") {
		t.Errorf("an open relay: %v", err)
	}
	t.Setenv("MAILHATCH_ALLOW", "10.0.0.0/8")
	cfg, err := Load(Environment, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.Close()
	if short := !strings.Contains(cfg.Hostname, "."); short != strings.Contains(strings.Join(cfg.Warnings, "\n"), "set MAILHATCH_HOSTNAME="+cfg.Hostname+".example.com") {
		t.Errorf("hostname %q: warnings %q", cfg.Hostname, cfg.Warnings)
	}
}
