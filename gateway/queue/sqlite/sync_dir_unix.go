//go:build unix

package sqlite

import "os"

// syncDir puts the names in dir on stable storage.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
