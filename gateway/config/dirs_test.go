package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestSubmitListenerIsAsGenerousAsAny(t *testing.T) {
	lc := (&Config{Listeners: []Listener{{MaxMessage: 90e6, MaxRecipients: 5}, {MaxMessage: 1, MaxRecipients: 5000}}}).SubmitListener()
	if lc.MaxMessage != 90e6 || lc.MaxRecipients != 5000 || lc.Mode != "queue" {
		t.Errorf("%+v", lc)
	}
}

func TestSubmitPlaces(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("STATE_DIRECTORY", "/of/the/calling/service")
	t.Setenv("RUNTIME_DIRECTORY", "/of/the/calling/service")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	place := func(state, run string) string { return state + "/maildrop " + run + "/submit.sock" }
	packaged := place(packagedStateDir, packagedRunDir)
	for _, c := range []struct{ name, text, want string }{
		{"both", "state_dir = \"/s\"\nrun_dir = \"/r\"", place("/s", "/r")},
		{"state_dir", "state_dir = \"/s\"", place("/s", "/s")},
		{"the packaged state_dir", "state_dir = \"/var/lib/mailhatch\"", packaged},
		{"run_dir", "run_dir = \"/r\"", place(packagedStateDir, "/r")},
		{"relative", "state_dir = \"s\"\nrun_dir = \"../r\"", place(filepath.Join(dir, "s"), filepath.Join(filepath.Dir(dir), "r"))},
		{"neither", "hostname = \"x\"", packaged},
		{"a slip in a table", "state_dir = \"/s\"\nrun_dir = \"/r\"\n [upstream.main]\ntype =\n", place("/s", "/r")},
		{"a broken table", "state_dir = \"/s\"\n[[route]\n", place("/s", "/s")},
	} {
		path := write("c.toml", c.text)
		for how, get := range map[string]func() ([]SubmitPlace, error){
			"-c": func() ([]SubmitPlace, error) { return SubmitPlaces(path) },
			"environment": func() ([]SubmitPlace, error) {
				t.Setenv("MAILHATCH_CONFIG", path)
				return SubmitPlaces("")
			},
		} {
			places, err := get()
			if err != nil || len(places) != 1 || places[0].Maildrop+" "+places[0].Socket != filepath.FromSlash(c.want) {
				t.Errorf("%s by %s: %+v, %v; want %s", c.name, how, places, err, c.want)
			}
		}
	}
	if _, err := SubmitPlaces(write("broken.toml", "state_dir = ")); err == nil {
		t.Error("a broken config that was named was taken")
	}
	if _, err := SubmitPlaces(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing config that was named: %v", err)
	}
	t.Setenv("MAILHATCH_CONFIG", "")
	if _, err := os.Stat(packagedConfig); err == nil {
		t.Skip("mailhatch is installed on this machine")
	}
	places, err := SubmitPlaces("")
	if err != nil || len(places) != 2 || places[0].Socket != packagedRunDir+"/submit.sock" || places[1].Socket != filepath.Join(dir, ".local/state/mailhatch/submit.sock") {
		t.Errorf("without a config: %+v, %v", places, err)
	}
}

func TestDropsElsewhere(t *testing.T) {
	if !worldReadable(0o644) {
		t.Skip("file modes tell nothing here")
	}
	dir := t.TempDir()
	config, packaged, own, link := filepath.Join(dir, "c.toml"), filepath.Join(dir, "packaged"), filepath.Join(dir, "own"), filepath.Join(dir, "link")
	writeFile(t, config, "")
	if err := errors.Join(os.Mkdir(packaged, 0o700), os.Mkdir(own, 0o700), os.Symlink(packaged, link)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stateDir, packaged string
		mode                     fs.FileMode
		want                     bool
	}{
		{"another directory", own, packaged, 0o640, true},
		{"not made yet", filepath.Join(dir, "new"), packaged, 0o640, true},
		{"all may read where it is", own, packaged, 0o644, false},
		{"the same", packaged, packaged, 0o640, false},
		{"the same by a link", link, packaged, 0o640, false},
		{"nothing packaged", own, filepath.Join(dir, "none"), 0o640, false},
	} {
		if err := os.Chmod(config, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := dropsElsewhere(config, c.stateDir, c.packaged); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestKeptDirs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	if state, run := KeptDirs(path); state != "" || run != "" {
		t.Errorf("no config: %q, %q", state, run)
	}
	writeFile(t, path, "state_dir = \"q\"\nrun_dir = \"/run/x\"\n[upstream.broken]\n")
	if state, run := KeptDirs(path); state != filepath.Join(filepath.Dir(path), "q") || filepath.ToSlash(run) != filepath.ToSlash(resolvePath(path, "/run/x")) {
		t.Errorf("a config: %q, %q", state, run)
	}
	if _, err := os.Stat(packagedConfig); err != nil {
		if state, run := KeptDirs(packagedConfig); state != packagedStateDir || run != packagedRunDir {
			t.Errorf("the packaged config: %q, %q", state, run)
		}
	}
}
