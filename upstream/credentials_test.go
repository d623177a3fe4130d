package upstream

import (
	"path/filepath"
	"testing"
)

// Those of the running service serve a command in a shell.
func TestCredentialsOfTheService(t *testing.T) {
	own, service := t.TempDir(), t.TempDir()
	for _, row := range []struct{ given, service, want string }{
		{own, service, own}, {"", service, service}, {own, "", own}, {"", filepath.Join(service, "missing"), ""},
	} {
		if got, err := credentials(row.given, row.service); got != row.want || (err != nil) != (row.want == "") {
			t.Errorf("%+v: %q, %v", row, got, err)
		}
	}
}
