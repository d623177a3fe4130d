//go:build unix

package unit

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// account is what the service runs as.
type account struct {
	name, group string
	uid, gid    int
	groups      []int
}

// lookUp returns the account of the service; nil where it is not known before the start (DynamicUser=).
func (u *Unit) lookUp() *account {
	if u.properties["DynamicUser"] == "yes" {
		return nil
	}
	own, err := user.Lookup(cmp.Or(u.properties["User"], "root"))
	if err != nil {
		return nil
	}
	a := &account{name: own.Username, group: own.Username}
	a.uid, _ = strconv.Atoi(own.Uid)
	a.gid, _ = strconv.Atoi(own.Gid)
	if g, err := user.LookupGroup(u.properties["Group"]); err == nil {
		a.group = g.Name
		a.gid, _ = strconv.Atoi(g.Gid)
	}
	ids, _ := own.GroupIds()
	for _, name := range u.properties.list("SupplementaryGroups") {
		if g, err := user.LookupGroup(name); err == nil {
			name = g.Gid
		}
		ids = append(ids, name)
	}
	for _, id := range ids {
		if gid, err := strconv.Atoi(id); err == nil {
			a.groups = append(a.groups, gid)
		}
	}
	return a
}

// in reports whether the account is in a group.
func (a *account) in(gid int) bool { return gid == a.gid || slices.Contains(a.groups, gid) }

// refused reports whether the account may not read ("-r") or write ("-w") a path that is there. Only root and the
// account itself can find out: access lists of the file system count, so that modes alone do not tell.
func (a *account) refused(how, path string) bool {
	if _, err := os.Stat(path); a == nil || err != nil {
		return false
	}
	switch os.Geteuid() {
	case a.uid:
		mode := uint32(unix.R_OK)
		if how == "-w" {
			mode = unix.W_OK
		}
		return errors.Is(unix.Access(path, mode), unix.EACCES)
	case 0:
		cmd := exec.Command("test", how, path)
		groups := make([]uint32, len(a.groups))
		for i, gid := range a.groups {
			groups[i] = uint32(gid)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: groups}}
		var exit *exec.ExitError
		return errors.As(cmd.Run(), &exit) && exit.ExitCode() == 1
	}
	return false
}
