//go:build unix

package maildrop

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// makeDrop makes the maildrop, which hands its group on to files. Where the system forbids the setgid bit
// (RestrictSUIDSGID= of systemd) it has the bit only from others, such as tmpfiles.d(5): their mode stays.
func makeDrop(stateDir, dir string) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	if err := passable(stateDir); err != nil {
		return err
	}
	const mode = fs.ModeDir | fs.ModeSticky | 0o733
	info, err := os.Lstat(dir)
	if err != nil || info.Mode() == mode|fs.ModeSetgid || os.Chmod(dir, mode|fs.ModeSetgid) == nil {
		return err
	}
	return os.Chmod(dir, mode)
}

// passable lets everybody reach what is in a directory of the gateway's that is open to them; they still cannot
// list it.
func passable(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || int(statOf(info).Uid) != os.Geteuid() || info.Mode().Perm()&0o011 == 0o011 {
		return err
	}
	return os.Chmod(dir, info.Mode()|0o011)
}

// checkOwn refuses a directory that is not the gateway's own: others could put back what is removed.
func checkOwn(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner := statOf(info).Uid; !info.IsDir() || int(owner) != os.Geteuid() {
		return fmt.Errorf("%w: %s is not a directory of the gateway's own account (mode %v, uid %d)", ErrUnsafe, dir, info.Mode(), owner)
	}
	return nil
}

func ownerOf(info fs.FileInfo) uint32 { return statOf(info).Uid }

// openDrop opens a file that is one account's own: not a link of either kind, a pipe or a device.
func openDrop(path string) (f *os.File, uid uint32, size int64, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, 0, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, 0, &Refusal{fmt.Errorf("%w: its mode is %v", ErrMalformed, info.Mode())}
	}
	f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if os.IsPermission(err) {
			err = &Refusal{err}
		}
		return nil, 0, 0, err
	}
	if info, err = f.Stat(); err != nil {
		_ = f.Close()
		return nil, 0, 0, err
	}
	st := statOf(info)
	if !info.Mode().IsRegular() || st.Nlink != 1 {
		_ = f.Close()
		return nil, 0, 0, &Refusal{fmt.Errorf("%w: mode %v with %d names", ErrMalformed, info.Mode(), st.Nlink)}
	}
	return f, st.Uid, info.Size(), nil
}
