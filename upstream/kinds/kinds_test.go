package kinds_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
)

// TestKindsConform holds every kind to what delivery relies on: settings.toml in its testdata opens it
// without any network, all keys are its own, and what it offers beside Send answers.
func TestKindsConform(t *testing.T) {
	everything, err := os.ReadFile("../testdata/mail/03-everything.mail")
	if err != nil {
		t.Fatal(err)
	}
	m := upstreamtest.ParseMail(t, everything)
	for _, k := range kinds.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			raw, err := settingsOf(k.Name)
			if err != nil {
				t.Fatalf("a kind needs settings.toml, and golden files where it renders (CONTRIBUTING.md): %v", err)
			}
			if k.Doc == "" || k.New() == k.New() {
				t.Errorf("no words about it, or settings that are shared: %+v", k)
			}
			up, err := upstreamtest.Open(k, strings.ReplaceAll(string(raw), "TEMPDIR", filepath.ToSlash(t.TempDir())))
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := up.(io.Closer); ok {
				defer c.Close() //nolint:errcheck // nothing was sent
			}
			if p, ok := up.(upstream.Preflighter); ok {
				if err := p.Preflight(m); err != nil {
					t.Errorf("preflight: %v", err)
				}
			}
			r, ok := up.(upstream.Renderer)
			if !ok {
				return
			}
			var one, two strings.Builder
			if err := errors.Join(r.Render(m, &one), r.Render(m, &two)); err != nil {
				t.Fatal(err)
			}
			if one.String() != two.String() || !strings.Contains(one.String(), "dora@example.org") || strings.Contains(one.String(), "secret") {
				t.Errorf("render changes, lacks a recipient or shows a secret:\n%s", one.String())
			}
		})
	}
}

// settingsOf reads the settings of a kind's testdata; those of local are side by side.
func settingsOf(kind string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join("..", kind, "testdata", "settings.toml"))
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = os.ReadFile(filepath.Join("..", "local", "testdata", kind, "settings.toml"))
	}
	return raw, err
}

func TestNatureChangesOfAPIs(t *testing.T) {
	for _, k := range kinds.Kinds() {
		if slices.Contains(k.Changes, "") || k.Changes != nil && len(k.Changes) < 3 {
			t.Errorf("%s: %q", k.Name, k.Changes)
		}
	}
}
