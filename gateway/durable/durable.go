// Package durable writes small files that a power cut leaves whole: as they were, or as they are.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes a file of mode 0600 in place of another.
func Replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has its name by then, or is of no use
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
