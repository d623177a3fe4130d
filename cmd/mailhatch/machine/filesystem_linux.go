package machine

import "golang.org/x/sys/unix"

// fileSystem returns the kind of file system that dir is on, where it matters, and its free bytes.
func fileSystem(dir string) (kind string, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", 0, err
	}
	kinds := map[uint32]string{
		unix.TMPFS_MAGIC: "tmpfs", 0x858458f6: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", // ramfs has no name in unix
		unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", 0xff534d42: "smb", 0xfe534d42: "smb",
		unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "fuse",
	}
	return kinds[uint32(st.Type)], int64(st.Bavail) * st.Bsize, nil
}
