package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// systemdAnalyze skips where the tool is missing.
func systemdAnalyze(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the units are not checked")
	}
	return tool
}

// shippedUnits copies the units into a folder, with a program that is there.
func shippedUnits(t *testing.T) (service, socket string) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mailhatch.service", "mailhatch.socket"} {
		b, err := os.ReadFile(filepath.Join("../../systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "/usr/local/bin/mailhatch", self)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "mailhatch.service"), filepath.Join(dir, "mailhatch.socket")
}

func TestUnitsAreGood(t *testing.T) {
	tool := systemdAnalyze(t)
	service, socket := shippedUnits(t)
	out, err := exec.Command(tool, "verify", "--man=no", service, socket).CombinedOutput()
	if err != nil || strings.Contains(string(out), "mailhatch.") {
		t.Errorf("%v\n%s", err, out)
	}
}

// doc/security.md names the figure.
func TestUnitExposure(t *testing.T) {
	tool := systemdAnalyze(t)
	service, _ := shippedUnits(t)
	out, err := exec.Command(tool, "security", "--offline=true", service).CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skip("this systemd-analyze cannot look at units offline (before v250)")
	}
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) OK`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > 2 {
		t.Errorf("exposure %s", m[1])
	}
}

// TestAccountAndDirectories: sysusers and tmpfiles make the account and what sendmail needs, in a folder.
func TestAccountAndDirectories(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: directories are given to an account")
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][]string{
		{"systemd-sysusers", "--root=" + root, "mailhatch.conf"},
		{"systemd-tmpfiles", "--root=" + root, "--create", "mailhatch.conf"},
	} {
		kind := strings.TrimPrefix(step[0], "systemd-")
		path := filepath.Join(root, "usr/lib", kind+".d", "mailhatch.conf")
		b, err := os.ReadFile("../../systemd/mailhatch." + kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool(t, step[0]), step[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", step, err, out)
		}
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(passwd), "mailhatch:x:") {
		t.Errorf("%v\n%s", err, passwd)
	}
	info, err := os.Stat(filepath.Join(root, "var/lib/mailhatch/maildrop"))
	if err != nil || info.Mode() != os.ModeDir|os.ModeSticky|os.ModeSetgid|0o733 {
		t.Errorf("maildrop: %v %v", info, err)
	}
}
