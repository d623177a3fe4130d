package main

import (
	"bytes"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/config"
	"mailhatch/upstream"
)

func TestReadPassword(t *testing.T) {
	for given, password := range map[string]string{"pass word\n": "pass word", "no line end": "no line end", "ü€\r\nmore\n": "ü€", " space \n": " space "} {
		if got, err := nextPassword(t.Context(), terminal.NewLines(strings.NewReader(given))); got != password || err != nil {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	if got, err := nextPassword(t.Context(), terminal.NewLines(strings.NewReader("\r\nmore"))); err == nil {
		t.Errorf("an empty line is the password %q", got)
	}
}

// What hash-password prints is accepted by a listener, and only for that password.
func TestHashIsAccepted(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader("ü€ pass\r\nmore\n"), stdout: &out, stderr: &errs}
	if code := a.main(t.Context(), []string{"hash-password"}); code != 0 {
		t.Fatalf("code %d, %s", code, &errs)
	}
	u := config.User{Password: upstream.NewSecret(strings.TrimSpace(out.String()))}
	if !u.Verify("ü€ pass") || u.Verify("ü€ pass ") || u.Verify("") {
		t.Error("the hash is not for this password alone")
	}
}
