//go:build unix

package unit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "A=1": {"A=1"}, `A=1 "B=2 3" C=`: {"A=1", "B=2 3", "C="}, `"A=open`: {`"A=open`}, ` "A=1"  B=2 `: {"A=1", "B=2"},
	} {
		if got := words(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestEnvironment: that of the process where it runs and can be seen, else what the unit says.
func TestEnvironment(t *testing.T) {
	var none *Unit
	if list := none.Environment(); list != nil {
		t.Errorf("no service: %q", list)
	}
	files := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(files, []byte("# comment\n; comment\n\nRELAY_PASSWORD = 'se cret'\nPLAIN=x=y\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := parse("MainPID=0\nStateDirectory=mailhatch other\nRuntimeDirectory=\nEnvironment=A=1 \"B=2 3\"\nEnvironmentFiles=/not/there (ignore_errors=yes)\nEnvironmentFiles=" +
		files + " (ignore_errors=no)\n\n")[0]
	want := []string{"STATE_DIRECTORY=/var/lib/mailhatch:/var/lib/other", "A=1", "B=2 3", "RELAY_PASSWORD=se cret", "PLAIN=x=y"}
	if got := (&Unit{properties: shown}).Environment(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("no /proc here")
	}
	shown["MainPID"] = strconv.Itoa(os.Getpid())
	if got := (&Unit{properties: shown}).Environment(); !slices.Contains(got, "PATH="+os.Getenv("PATH")) || slices.Contains(got, "A=1") {
		t.Errorf("of a process: %q", got)
	}
}

// TestLend: what the service has and this process has not, for as long as a config is checked.
func TestLend(t *testing.T) {
	for _, name := range []string{"CREDENTIALS_DIRECTORY", "MAILHATCH_TEST_LENT", "LISTEN_FDS", "NOTIFY_SOCKET"} {
		t.Setenv(name, "") // put back after the test
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("MAILHATCH_TEST_OWN", "own")
	source := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(source, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := &Unit{text: fmt.Sprintf("LoadCredential=key:%s\nLoadCredential=a/b:%[1]s\n", source), properties: properties{
		"Environment": "MAILHATCH_TEST_LENT=1 MAILHATCH_TEST_OWN=2 LISTEN_FDS=3 NOTIFY_SOCKET=/run/x"}}
	done, err := u.Lend()
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if b, err := os.ReadFile(filepath.Join(dir, "key")); err != nil || string(b) != "secret" {
		t.Errorf("the credential of a service that does not run: %q, %v", b, err)
	}
	if os.Getenv("MAILHATCH_TEST_LENT") != "1" || os.Getenv("MAILHATCH_TEST_OWN") != "own" || os.Getenv("LISTEN_FDS")+os.Getenv("NOTIFY_SOCKET") != "" {
		t.Errorf("%q", os.Environ())
	}
	done()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
	// Its own are not replaced; without a service nothing happens.
	t.Setenv("CREDENTIALS_DIRECTORY", "/own")
	for _, u := range []*Unit{u, nil, {properties: properties{}}} {
		if done, err = u.Lend(); err != nil || os.Getenv("CREDENTIALS_DIRECTORY") != "/own" {
			t.Errorf("%v, %q", err, os.Getenv("CREDENTIALS_DIRECTORY"))
		}
		done()
	}
	if err := os.Unsetenv("CREDENTIALS_DIRECTORY"); err != nil {
		t.Fatal(err)
	}
	if _, err = (&Unit{properties: properties{}}).Lend(); err != nil || os.Getenv("CREDENTIALS_DIRECTORY") != "" {
		t.Errorf("a service without credentials: %v", err)
	}
	t.Setenv("TMPDIR", "/not/there")
	if _, err = u.Lend(); err == nil {
		t.Error("credentials went nowhere")
	}
}
