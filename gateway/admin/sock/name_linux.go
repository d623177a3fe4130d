package sock

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxName is what sun_path holds (unix(7)), its final NUL left out.
const maxName = 107

// shortName returns a name of a socket that the system takes, however deep its folder is: beyond the
// limit by way of the open folder. done frees it; the socket itself does not need it any longer.
func shortName(path string) (name string, done func(), err error) {
	if len(path) <= maxName {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}
