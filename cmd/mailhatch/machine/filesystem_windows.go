package machine

import "golang.org/x/sys/windows"

// fileSystem returns the free bytes of the volume that dir is on; its kind is not determined.
func fileSystem(dir string) (kind string, free int64, err error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return "", 0, err
	}
	var bytes uint64
	if err := windows.GetDiskFreeSpaceEx(path, &bytes, nil, nil); err != nil {
		return "", 0, err
	}
	return "", int64(min(bytes, 1<<62)), nil
}
