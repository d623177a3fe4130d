package main

import (
	"strings"
	"testing"
)

func TestByName(t *testing.T) {
	for argv, want := range map[string]string{
		"/usr/sbin/sendmail -t":      "sendmail -t",
		"mailq":                      "sendmail -bp",
		"/usr/bin/newaliases -v":     "sendmail -bi -v",
		"mailhatch serve":            "serve",
		"/usr/local/bin/other queue": "queue",
	} {
		if got := strings.Join(byName(strings.Fields(argv)), " "); got != want {
			t.Errorf("%s: %q, want %q", argv, got, want)
		}
	}
	if got := byName(nil); len(got) != 0 {
		t.Errorf("without a name: %q", got)
	}
}
