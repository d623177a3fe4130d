package main

import (
	"bytes"
	"strings"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

// What hash-password prints is what a listener takes, and only for that password.
func TestHashPasswordIsTaken(t *testing.T) {
	for given, password := range map[string]string{"pass word\n": "pass word", "no line end": "no line end", "ü€\r\nmore\n": "ü€"} {
		var out, errs bytes.Buffer
		a := &app{stdin: strings.NewReader(given), stdout: &out, stderr: &errs}
		if code := a.main(t.Context(), []string{"hash-password"}); code != 0 {
			t.Fatalf("%q: code %d, %s", given, code, &errs)
		}
		u := config.User{Password: upstream.NewSecret(strings.TrimSpace(out.String()))}
		if !u.Verify(password) || u.Verify(password+" ") || u.Verify("") {
			t.Errorf("%q: the hash is not for %q alone", given, password)
		}
	}
}
