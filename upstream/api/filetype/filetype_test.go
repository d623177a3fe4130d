package filetype_test

import (
	"testing"

	"mailhatch/upstream/api/filetype"
)

func TestExtension(t *testing.T) {
	for mediaType, want := range map[string]string{"application/csv": ".csv", "text/plain": ".txt", "image/jpeg": ".jpg", "application/pgp-keys": ".asc", "x/y": ".bin"} {
		if got, known := filetype.Extension(mediaType); got != want || known != (want != ".bin") {
			t.Error(mediaType, got, known)
		}
	}
}

func TestRegistered(t *testing.T) {
	for _, row := range []struct{ ext, mediaType, want string }{
		{".csv", "text/comma-separated-values", "text/csv"},
		{".log", "text/x-log", "text/plain"},
		{".md", "text/plain", "text/plain"},
		{".asc", "application/pgp-keys", "application/pgp-keys"},
		{".pdf", "text/plain", ""},
		{".none", "text/plain", ""},
	} {
		if got, ok := filetype.Registered(row.ext, row.mediaType); got != row.want || ok != (row.want != "") {
			t.Errorf("%s %s: %q, %v", row.ext, row.mediaType, got, ok)
		}
	}
}
