package sock

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	dir, err := os.MkdirTemp("", "mh") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	state, old, now := filepath.Join(dir, "state"), filepath.Join(dir, "old"), filepath.Join(dir, "new")
	for _, d := range []string{state, old, now} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	noted, named := filepath.Join(old, Name), filepath.Join(now, Name)
	check := func(what, want string) {
		t.Helper()
		if got := Find(t.Context(), state, now); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	check("nothing noted", named)
	if err := Note(state, noted); err != nil {
		t.Fatal(err)
	}
	check("nobody answers", named)
	running, err := Listen(noted)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close() //nolint:errcheck // the directory goes
	check("the config names another run_dir", noted)
	other, err := Listen(named)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // the directory goes
	check("the config's own answers", named)
	if err := Note(filepath.Join(dir, "missing"), noted); err == nil {
		t.Error("a missing directory was made")
	}
}
