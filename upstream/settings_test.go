package upstream_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/upstream"
)

func TestSecretReferences(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("MAILHATCH_TEST_KEY", "from-env")
	t.Setenv("MAILHATCH_TEST_LINE", " from-echo\r\n")
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"plain": "plain", "http://x": "http://x", "env:MAILHATCH_TEST_KEY": "from-env", "env:MAILHATCH_TEST_UNSET": "",
		"env:MAILHATCH_TEST_LINE": " from-echo", "env:": "", "cred:large": "",
		"file:" + filepath.Join(dir, "key"): "from-file", "cred:key": "from-file", "cred:../key": "", "cred:missing": "", "cred:empty": "",
	} {
		var s upstream.Secret
		if err := s.UnmarshalText([]byte(ref)); (err != nil) != (want == "") || s.Reveal() != want || s.IsZero() != (want == "") {
			t.Errorf("%s: %q, %v", ref, s.Reveal(), err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if err := new(upstream.Secret).UnmarshalText([]byte("cred:key")); err == nil {
		t.Error("there is no $CREDENTIALS_DIRECTORY")
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "5d": 120 * time.Hour, "0.5d": 12 * time.Hour, "0s": 0,
		"5": -1, "0": -1, "-1s": -1, "-1d": -1, "xd": -1, "": -1} {
		var d upstream.Duration
		if err := d.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || want >= 0 && d.Duration != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}

func TestNetworkKeys(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, bad := range map[string]bool{"": false, broken: true, broken + "x": true} {
		if pool, err := upstream.RootCAs(file); (err != nil) != bad || pool != nil {
			t.Errorf("%q: %v, %v", file, pool, err)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "LocalHost": true, "127.0.0.2": true, "::1": true, "10.0.0.1": false, "example.com": false} {
		if upstream.IsLoopback(host) != want {
			t.Error(host)
		}
	}
	if err := upstream.OneOf("tls", "x", "a", "b", "c"); err == nil || err.Error() != `tls must be "a", "b" or "c", not "x"` {
		t.Error(err)
	}
}
