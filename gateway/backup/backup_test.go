package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// copies is a store with two files.
func copies(_ context.Context, dir string) error {
	return errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, "bodies"), 0o700),
		os.WriteFile(filepath.Join(dir, "queue.db"), []byte("rows"), 0o600), os.WriteFile(filepath.Join(dir, "bodies", "A"), []byte("body"), 0o600))
}

func unpack(t *testing.T, b []byte) (files map[string]string) {
	t.Helper()
	files = map[string]string{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = fmt.Sprintf("%o %s", h.Mode, text)
	}
}

func TestWrite(t *testing.T) {
	state, work := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(state, tokensName), 0o700), os.WriteFile(filepath.Join(state, tokensName, "m365"), []byte("token"), 0o600),
		os.MkdirAll(filepath.Join(work, workName, "left"), 0o700)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Write(t.Context(), &out, copies, state, work); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"bodies/": "700 ", "bodies/A": "600 body", "queue.db": "600 rows", "tokens/": "700 ", "tokens/m365": "600 token"}
	if got := unpack(t, out.Bytes()); !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	out.Reset()
	if err := Write(t.Context(), &out, copies, work, work); err != nil || len(unpack(t, out.Bytes())) != 3 {
		t.Errorf("without tokens: %v", err)
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("full")
	}
	return len(p), nil
}

// TestFailures: whatever fails is told, and nothing stays.
func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	ctx, end := context.WithCancel(t.Context())
	ended := func(ctx context.Context, dir string) error { end(); return copies(ctx, dir) }
	odd := func(ctx context.Context, dir string) error {
		return errors.Join(copies(ctx, dir), os.Symlink("queue.db", filepath.Join(dir, "link")))
	}
	for name, write := range map[string]func(work string) error{
		"the store": func(work string) error {
			return Write(t.Context(), io.Discard, func(context.Context, string) error { return broken }, work, work)
		},
		"a link":      func(work string) error { return Write(t.Context(), io.Discard, odd, work, work) },
		"interrupted": func(work string) error { return Write(ctx, io.Discard, ended, work, work) },
		"no directory": func(work string) error {
			return Write(t.Context(), io.Discard, copies, work, filepath.Join(work, "none", "x"))
		},
		"no space": func(work string) error { return Write(t.Context(), &full{700}, copies, work, work) },
		"no space for the end": func(work string) error {
			return Write(t.Context(), &full{512 * 7}, copies, work, work)
		},
	} {
		work := t.TempDir()
		if err := write(work); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left, _ := os.ReadDir(work); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), io.Discard, copies, file, t.TempDir()); err == nil {
		t.Error("tokens in a file: no error")
	}
}
